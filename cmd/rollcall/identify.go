package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/pipeline"
)

func (a *app) identifyUser() *cobra.Command {
	var q pipeline.Identity
	var pin bool
	cmd := &cobra.Command{
		Use:   "identify [NAME]",
		Short: "Who is that? By name, card, personal number or PIN",
		Long: "Say which active user somebody is, as a terminal asks: by user name or alias, card, personal number, or a PIN,\n" +
			"which is read from a prompt or from standard input and never stands on the command line. Exit code 1: unknown, or\n" +
			"locked after five wrong PINs for 15 minutes.",
		Example: `  rollcall users identify alice
  rollcall users identify --card 0012345678
  rollcall users identify --pin < pin.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			q.Name, q.Caller = first(args), actor()
			if pin {
				if q.PIN, err = a.readSecret("PIN: "); err != nil {
					return err
				}
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error { return a.identify(ctx, client, q) })
		},
	}
	cmd.Flags().StringVar(&q.Card, "card", "", "a card's `number`")
	cmd.Flags().StringVar(&q.PersonalNumber, "personal-number", "", "a personal `number`")
	cmd.Flags().BoolVar(&pin, "pin", false, "a PIN, from a prompt or standard input")
	return a.jsonFlag(cmd)
}

func (a *app) identify(ctx context.Context, client *pipeline.Client, q pipeline.Identity) error {
	found, err := client.Identify(ctx, q)
	switch {
	case errors.Is(err, pipeline.ErrMistake):
		return usage(try(err, "NAME, or one of --card, --personal-number and --pin"))
	case err != nil:
		return err
	case a.json:
		err = line(a.stdout, found)
	case found.User != nil:
		err = a.describeUser(*found.User)
	default:
		a.say("%s\n", found.Result)
	}
	if err == nil && found.Result != pipeline.IdentifiedActive {
		return &exit{code: exitFailed}
	}
	return err
}

// readSecret reads a line from standard input; on a terminal, after a prompt and unseen.
func (a *app) readSecret(prompt string) (string, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		a.print("%s", prompt)
		secret, err := term.ReadPassword(fd)
		a.print("\n")
		return strings.TrimSpace(string(secret)), err
	}
	secret, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("standard input: %w", err)
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", usage(errors.New("standard input is empty"))
	}
	return secret, nil
}
