package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/store"
)

func (a *app) pins() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pins",
		Short: "Give users PINs by hand, generate them, and take them",
		Long:  "Give users PINs by hand, generate them, and take them. A PIN is read from a prompt or from standard input and never stands\non the command line.",
		Example: `  rollcall pins add alice
  rollcall pins generate alice --reason "forgot it"
  rollcall pins remove alice --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.addPIN(), a.generatePIN(), a.removePIN())
	return cmd
}

func (a *app) addPIN() *cobra.Command {
	var e pipeline.Edit
	var temporary time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Give a user a PIN",
		Long: "Give a user a PIN, read from a prompt or from standard input. It stays, whatever the sources say, until it is removed\n" +
			"or ends. A PIN that another user has is refused.",
		Example: `  rollcall pins add alice
  rollcall pins add visitor-3 --temporary 8h < pin.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			e.User = args[0]
			if e.Expires, err = ending(temporary); err != nil {
				return err
			}
			if e.PIN, err = a.readSecret("PIN: "); err != nil {
				return err
			}
			return a.edit(cmd, e, (*pipeline.Client).AddPIN)
		},
	}
	cmd.Flags().DurationVar(&temporary, "temporary", 0, "a temporary PIN, which ends after this `time`")
	return a.editFlags(cmd, &e)
}

func (a *app) generatePIN() *cobra.Command {
	var e pipeline.Edit
	var temporary time.Duration
	var group string
	cmd := &cobra.Command{
		Use:   "generate NAME…",
		Short: "Give users PINs that nobody has, and show them once",
		Long: "Give users PINs that nobody has, and show them: once, because they are kept as keyed hashes only. A PIN that was\n" +
			"generated before goes, unless the new one is temporary.",
		Example: `  rollcall pins generate alice
  rollcall pins generate alice --resend
  rollcall pins generate visitor-3 visitor-4 --temporary 8h
  rollcall pins generate --group "Staff|Interns" --temporary 72h`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (len(args) > 0) == (group != "") {
				return usage(try(errors.New("whose PINs? Names or a group, one of the two"), cmd.CommandPath()+" NAME"))
			}
			if e.Expires, err = ending(temporary); err != nil {
				return err
			}
			e.Actor = actor()
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				if group != "" {
					args, err = members(ctx, client, group)
				}
				return errors.Join(err, a.generate(ctx, client, e, args))
			})
		},
	}
	cmd.Flags().DurationVar(&temporary, "temporary", 0, "temporary PINs, which end after this `time`")
	cmd.Flags().BoolVar(&e.Resend, "resend", false, "mail each PIN to its user instead of showing it")
	cmd.Flags().StringVar(&group, "group", "", "all active users in the group of this `path`")
	return a.editFlags(cmd, &e)
}

func (a *app) removePIN() *cobra.Command {
	var e pipeline.Edit
	var all bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a PIN from a user",
		Long: "Take a PIN, read from a prompt or from standard input, or all PINs from a user, whoever put them there. One that comes from\n" +
			"a source comes back with the source's next run.",
		Example: `  rollcall pins remove alice < pin.txt
  rollcall pins remove alice --all --reason "seen by others"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			e.User = args[0]
			if !all {
				if e.PIN, err = a.readSecret("PIN: "); err != nil {
					return err
				}
			}
			return a.edit(cmd, e, (*pipeline.Client).RemovePIN)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all of the user's PINs")
	return a.editFlags(cmd, &e)
}

// ending returns when something temporary ends, the zero time for never.
func ending(validFor time.Duration) (time.Time, error) {
	switch {
	case validFor < 0:
		return time.Time{}, usage(fmt.Errorf("--temporary %s is in the past", validFor))
	case validFor == 0:
		return time.Time{}, nil
	}
	return time.Now().Add(validFor).UTC(), nil
}

// members returns the names of the active users in a group.
func members(ctx context.Context, client *pipeline.Client, group string) (names []string, err error) {
	err = client.Users(ctx, pipeline.UserQuery{Group: group}, func(u store.User) error {
		names = append(names, u.Text[store.UserName])
		return nil
	})
	if err == nil && len(names) == 0 {
		err = try(fmt.Errorf("nobody is in a group %q", group), "rollcall groups list")
	}
	return names, err
}

// generate generates a PIN for each user and prints it.
func (a *app) generate(ctx context.Context, client *pipeline.Client, e pipeline.Edit, names []string) error {
	for _, e.User = range names {
		answer, err := client.GeneratePIN(ctx, e)
		switch {
		case errors.Is(err, pipeline.ErrMistake):
			return usage(err)
		case err != nil:
			return err
		case a.json:
			err = line(a.stdout, answer)
		case e.Resend:
			a.say("%s\ta new PIN is on its way\n", plain(e.User))
		default:
			a.say("%s\t%s\n", plain(e.User), answer.PIN)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
