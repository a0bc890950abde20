package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

var (
	eventKinds      = []string{"created", "updated", "deactivated", "reactivated", "anonymized"}
	groupEventKinds = []string{"created", "updated", "deleted"}
)

func (a *app) events() *cobra.Command {
	var o pipeline.EventOptions
	var since string
	var groups bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what changed, as it comes",
		Long:  "Show the events that subscribers get: one for every revision of a user, in order.",
		Example: `  rollcall events                                the whole stream
  rollcall events --follow --since 10m
  rollcall events --since 1207 --type updated    after revision 1207
  rollcall events --since 2026-11-23T09:00:00Z --json
  rollcall events --groups                       what happened to groups`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := parseSince(since, &o); err != nil {
				return err
			}
			kinds := eventKinds
			if groups {
				kinds = groupEventKinds
			}
			if o.Kind != "" && !slices.Contains(kinds, o.Kind) {
				return usage(try(fmt.Errorf("--type: there is no event %q", o.Kind), strings.Join(kinds, ", ")))
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				err := error(nil)
				if groups {
					err = client.GroupEvents(ctx, o, a.groupEvent)
				} else {
					err = client.Events(ctx, o, a.event)
				}
				if ctx.Err() != nil {
					return nil // Ctrl-C is how one stops following
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "wait for more")
	cmd.Flags().BoolVar(&groups, "groups", false, "events of groups instead of users")
	cmd.Flags().StringVar(&since, "since", "", "from this `time or revision` on: 1207, 10m, 2026-11-23, 2026-11-23T09:00:00Z")
	cmd.Flags().StringVar(&o.Kind, "type", "", "only "+strings.Join(eventKinds, ", "))
	return a.jsonFlag(cmd)
}

func parseSince(text string, o *pipeline.EventOptions) error {
	if text == "" {
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		o.After = n
		return nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		o.Since = time.Now().Add(-d)
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			o.Since = t
			return nil
		}
	}
	return usage(try(fmt.Errorf("--since: %q is neither a time nor a revision", text), "1207, 10m, 2026-11-23 or 2026-11-23T09:00:00Z"))
}

func (a *app) event(e events.UserChanged) error {
	if a.json {
		_, err := a.stdout.Write(eventJSON(e.ID, e.Type, e.Raw))
		return err
	}
	_, err := fmt.Fprintln(a.stdout, plain(sentence(e)))
	return err
}

func (a *app) groupEvent(e events.GroupChanged) error {
	if a.json {
		_, err := a.stdout.Write(eventJSON(e.ID, e.Type, e.Raw))
		return err
	}
	text := fmt.Sprintf("%d  %s  %s %s", e.Revision, clock(e.Time), e.Kind, e.Group.Path)
	if e.Group.OldPath != "" {
		text += " (was " + e.Group.OldPath + ")"
	}
	text += fmt.Sprintf(": %d joined, %d left", len(e.Members.Added), len(e.Members.Removed)) + because(e.Cause)
	_, err := fmt.Fprintln(a.stdout, plain(text))
	return err
}

// eventJSON is the event's body as it travelled, with the id and the type that travel in its headers.
func eventJSON(id, kind string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"id":%q,"type":%q,`, id, kind)
	b.Write(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("{")))
	b.WriteByte('\n')
	return b.Bytes()
}

// sentence is an event in a line.
func sentence(e events.UserChanged) string {
	text := fmt.Sprintf("%d  %s  %s %s", e.Revision, clock(e.Time), e.Kind, e.User.Text[store.UserName])
	if e.Kind == "reset" {
		return text + "subscribers begin anew: " + e.Cause.Reason
	}
	if e.Kind == "updated" && len(e.Changed) > 0 { // when a card ends is no value that events show
		parts := make([]string, 0, len(e.Changed))
		for _, property := range slices.Sorted(maps.Keys(e.Changed)) {
			parts = append(parts, fmt.Sprintf("%s %q → %q", property, valueText(e.Changed[property].Old), valueText(e.Changed[property].New)))
		}
		text += ": " + strings.Join(parts, ", ")
	}
	return text + because(e.Cause)
}

// because says where an event came from: "  (corp, run 41)", "  (anna@desk: on leave)".
func because(c events.Cause) string {
	var parts []string
	if c.Source != "" {
		parts = append(parts, c.Source)
	}
	if c.Run != 0 {
		parts = append(parts, fmt.Sprintf("run %d", c.Run))
	}
	if c.Actor != "" {
		parts = append(parts, c.Actor)
	}
	text := strings.Join(parts, ", ")
	if c.Reason != "" {
		text = strings.TrimPrefix(text+": "+c.Reason, ": ")
	}
	if text == "" {
		return ""
	}
	return "  (" + text + ")"
}

// valueText is a property's value as an event has it: a text, or a list of them.
func valueText(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = fmt.Sprint(one)
	}
	return strings.Join(texts, ", ")
}
