package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) cards() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cards",
		Short: "Give users cards by hand, and take them",
		Example: `  rollcall cards add alice 0012345678
  rollcall cards remove alice 0012345678`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.addCard(), a.removeCard())
	return cmd
}

func (a *app) addCard() *cobra.Command {
	var validFor time.Duration
	cmd := a.editCard(&cobra.Command{
		Use:   "add NAME NUMBER",
		Short: "Give a user a card",
		Long: "Give a user a card, as the terminals read it. It stays, whatever the sources say, until it is removed or ends.\n" +
			"A card that another user has is refused. With cards: {multiple: false} it takes the place of the old ones.",
		Example: `  rollcall cards add alice 0012345678
  rollcall cards add visitor-3 0012345678 --valid-for 8h --reason "visitor of today"`,
	}, func(e *pipeline.Edit) error {
		if validFor < 0 {
			return usage(fmt.Errorf("--valid-for %s is in the past", validFor))
		}
		if validFor > 0 {
			e.Expires = time.Now().Add(validFor).UTC()
		}
		return nil
	}, (*pipeline.Client).AddCard)
	cmd.Flags().DurationVar(&validFor, "valid-for", 0, "a temporary card, which ends after this `time`")
	return cmd
}

func (a *app) removeCard() *cobra.Command {
	return a.editCard(&cobra.Command{
		Use:     "remove NAME NUMBER",
		Short:   "Take a card from a user",
		Long:    "Take a card from a user, whoever put it there. One that comes from a source comes back with the source's next run.",
		Example: `  rollcall cards remove alice 0012345678 --reason lost`,
	}, func(*pipeline.Edit) error { return nil }, (*pipeline.Client).RemoveCard)
}

// editCard completes a command about a card of a user.
func (a *app) editCard(cmd *cobra.Command, fill func(*pipeline.Edit) error, do editing) *cobra.Command {
	var e pipeline.Edit
	cmd.Args = cobra.ExactArgs(2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.User, e.Card = args[0], args[1]
		if err := fill(&e); err != nil {
			return err
		}
		return a.edit(cmd, e, do)
	}
	return a.editFlags(cmd, &e)
}
