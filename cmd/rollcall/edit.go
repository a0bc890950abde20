package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) setUser() *cobra.Command {
	var e pipeline.Edit
	cmd := &cobra.Command{
		Use:   "set NAME property=value…",
		Short: "Change properties of a user by hand",
		Long: "Change properties of a user by hand; \"property=\" clears one. A list has commas between its values, a comma within\n" +
			"a value has a \"\\\" before it, and the list given replaces the one that is there. The user is named by user name, alias or id.\n\n" +
			"What a synchronization source says of the user too comes back with that source's next run; other properties, and\n" +
			"values added to lists, stay. The properties: " + strings.Join(pipeline.Settable(), ", ") + ".",
		Example: `  rollcall users set alice phone="+420 222 100 100" --reason "moved to room 12"
  rollcall users set alice aliases=ally,anovak notes=
  rollcall users set alice 'groups=Staff|IT,Sales\, abroad'
  rollcall users set alice administrator=true`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if e.Set, err = assignments(args[1:]); err != nil {
				return err
			}
			e.User = args[0]
			return a.edit(cmd, e, (*pipeline.Client).SetUser)
		},
	}
	return a.editFlags(cmd, &e)
}

// assignments reads property=value.
func assignments(args []string) (map[string]string, error) {
	set := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usage(try(fmt.Errorf("%q is no property=value", arg), name+"=VALUE, or "+name+"= to clear it"))
		}
		if _, twice := set[name]; twice {
			return nil, usage(fmt.Errorf("%s is given twice", name))
		}
		set[name] = value
	}
	return set, nil
}

func (a *app) deactivateUser() *cobra.Command {
	return a.editUser(&cobra.Command{
		Use:   "deactivate NAME",
		Short: "Make a user inactive",
		Long: "Make a user inactive, with all that is known of him kept. No synchronization brings him back: what a person\n" +
			"decided, a person undoes.",
		Example: `  rollcall users deactivate alice --reason "lost the badge"`,
	}, (*pipeline.Client).DeactivateUser)
}

func (a *app) reactivateUser() *cobra.Command {
	return a.editUser(&cobra.Command{
		Use:     "reactivate NAME",
		Short:   "Make an inactive user active",
		Long:    "Make an inactive user active. Cards, PINs and aliases that somebody else has meanwhile are left out, with a warning.",
		Example: `  rollcall users reactivate alice`,
	}, (*pipeline.Client).ReactivateUser)
}

func (a *app) anonymizeUser() *cobra.Command {
	return a.editUser(&cobra.Command{
		Use:   "anonymize NAME",
		Short: "Make an inactive user anonymous, for good",
		Long: "Make an inactive user anonymous, for good: the personal data leaves the store, the stored directory records and the\n" +
			"dead letters; a tombstone under the user's id stays. The directory entry, should it still be there, is left alone from\n" +
			"then on. Events, the log and snapshots that were made before keep what they said until they age out.",
		Example: `  rollcall users deactivate alice
  rollcall users anonymize alice --reason "left two years ago"`,
	}, (*pipeline.Client).AnonymizeUser)
}

// editUser completes a command about one user that needs nothing but his name.
func (a *app) editUser(cmd *cobra.Command, do editing) *cobra.Command {
	var e pipeline.Edit
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.User = args[0]
		return a.edit(cmd, e, do)
	}
	return a.editFlags(cmd, &e)
}

func (a *app) editFlags(cmd *cobra.Command, e *pipeline.Edit) *cobra.Command {
	cmd.Flags().StringVar(&e.Reason, "reason", "", "`why`; it stands in the event")
	return a.jsonFlag(cmd)
}

// editing is one of the client's methods that change a user.
type editing = func(*pipeline.Client, context.Context, pipeline.Edit) (pipeline.Answer, error)

// edit takes an edit to the log and prints what came of it.
func (a *app) edit(cmd *cobra.Command, e pipeline.Edit, do editing) error {
	e.Actor = actor()
	return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
		answer, err := do(client, ctx, e)
		switch {
		case errors.Is(err, pipeline.ErrMistake):
			return usage(err)
		case err != nil:
			return err
		case a.json:
			return line(a.stdout, answer)
		}
		a.say("%s\n", plain(answer.Text))
		for _, w := range answer.Warnings {
			a.print("Warning: %s\n", plain(w))
		}
		return nil
	})
}
