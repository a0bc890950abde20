package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/pipeline/mail"
	"rollcall/store"
)

// Notify says who is told by mail what became of a run (S7).
type Notify struct {
	// When is never (also for ""), on-error or always.
	When string
	// To are addresses.
	To []string
}

// wants reports whether somebody is to be told of a run. A dry run has its reader, and an attempt that is followed by
// another one is no result.
func (n Notify) wants(run *store.Run) bool {
	if len(n.To) == 0 || run.State == store.Planned || run.Again {
		return false
	}
	switch n.When {
	case "always":
		return true
	case "on-error":
		return run.State == store.Failed || run.State == store.Held
	}
	return false
}

// notifier mails results of runs. Which were mailed JetStream remembers: a mail that a dying process did not see accepted
// is sent again, under the same Message-ID.
type notifier struct {
	bus      *events.Bus
	server   mail.Server
	notify   Notify
	log      zerolog.Logger
	consumer jetstream.Consumer
	// failing is true while the last mail did not leave.
	failing atomic.Bool
}

const notifyConsumer = "notify"

// open lets the notifier's place begin at the next result, or forgets it where nobody is to be told: what happens
// meanwhile is no news when that changes.
func (n *notifier) open(ctx context.Context) (err error) {
	if n.server.Host == "" || len(n.notify.To) == 0 || n.notify.When == "never" || n.notify.When == "" {
		if err = n.bus.JetStream.DeleteConsumer(ctx, events.RunsStream, notifyConsumer); isMissing(err) {
			err = nil
		}
		return err
	}
	n.consumer, err = n.bus.Consumer(ctx, events.RunsStream, jetstream.ConsumerConfig{
		Durable: notifyConsumer, DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Minute, MaxDeliver: -1,
	})
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

func (n *notifier) run(ctx context.Context) error {
	if n.consumer == nil {
		return nil
	}
	messages, err := events.Messages(n.consumer, jetstream.PullMaxMessages(1))
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		msg, err := messages.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("notify: %w", err)
		}
		n.take(ctx, msg)
	}
}

// take mails one result. Mail that nobody will ever take is dropped with a word in the log.
func (n *notifier) take(ctx context.Context, msg jetstream.Msg) {
	var run store.Run
	err := json.Unmarshal(msg.Data(), &run)
	if err != nil {
		n.log.Error().Err(err).Str("subject", msg.Subject()).Msg("result of a run cannot be read and is not mailed")
	} else if !isResult(msg, &run) {
		n.log.Error().Str("subject", msg.Subject()).Msg("result of a run was not published under this subject and is not mailed")
	} else if n.notify.wants(&run) {
		err = n.send(ctx, &run)
	}
	n.failing.Store(err != nil)
	if err != nil && !errors.Is(err, mail.ErrRefused) && run.Source != "" {
		n.log.Warn().Err(err).Str("source", run.Source).Uint64("run", run.Number).Msg("result of a run was not mailed; it is tried again")
		_ = msg.NakWithDelay(patience(msg))
		return
	}
	if err != nil {
		n.log.Error().Err(err).Str("source", run.Source).Uint64("run", run.Number).Msg("result of a run was not mailed")
	}
	_ = msg.Ack()
}

// patience is how long a mail waits that could not be sent: from a second to some minutes, the longer the server is away.
func patience(msg jetstream.Msg) time.Duration {
	meta, err := msg.Metadata()
	if err != nil {
		return time.Minute
	}
	return time.Second << min(meta.NumDelivered-1, 8)
}

func (n *notifier) send(ctx context.Context, run *store.Run) error {
	session, err := n.server.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // what was accepted stays so
	return session.Send(mail.Message{
		ID: fmt.Sprintf("run-%s-%d-%s@rollcall", run.Source, run.Number, run.State), To: n.notify.To,
		Subject: fmt.Sprintf("rollcall: %s %s", run.Source, run.State), Text: resultText(run),
	})
}

// settle waits until what there is was mailed, no longer than ctx and not for a server that does not take it.
func (n *notifier) settle(ctx context.Context) {
	for n.consumer != nil && ctx.Err() == nil && !n.failing.Load() {
		info, err := n.consumer.Info(ctx)
		if err != nil || info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// resultText is a run's result in words. Its messages show no PIN.
func resultText(run *store.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Source:   %s\nRun:      %d, %s\nResult:   %s\n", run.Source, run.Number, run.Kind, run.State)
	if run.Reason != "" {
		fmt.Fprintf(&b, "Reason:   %s\n", run.Reason)
	}
	if run.Try != "" {
		fmt.Fprintf(&b, "Try:      %s\n", run.Try)
	}
	fmt.Fprintf(&b, "Started:  %s\nFinished: %s\n\n%s\n", run.Started.Format(time.RFC3339), run.Finished.Format(time.RFC3339), countersText(run))
	for _, text := range run.Messages {
		fmt.Fprintf(&b, "\n* %s", text)
	}
	return b.String() + "\n"
}

// countersText lists a run's counters that are not zero.
func countersText(run *store.Run) string {
	var texts []string
	for _, c := range []struct {
		n    int
		what string
	}{{run.Read, "read"}, {run.Unchanged, "unchanged"}, {run.Created, "created"}, {run.Updated, "updated"}, {run.Deactivated, "deactivated"},
		{run.Reactivated, "reactivated"}, {run.Merged, "merged"}, {run.Ignored, "ignored"}, {run.Disabled, "disabled"},
		{run.Conflicts, "conflicts"}, {run.Rejected, "rejected"}, {run.Deletions, "deletions"}, {run.Warnings, "warnings"}} {
		if c.n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(texts, ", ")
}
