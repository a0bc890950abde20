package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"rollcall/connectors/ldap"
)

//go:embed templates
var templates embed.FS

// answers are what a template does not know.
type answers struct{ Type, Server, BindDN, BaseDN, Filter string }

func (a *app) init() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "init [csv|ldap|entra]",
		Short: "Write a commented configuration",
		Long: "Write a commented configuration to begin with, rollcall.yaml or what --config names. A file that is there is\n" +
			"never overwritten. With --server, an LDAP server is asked what it is and where its entries are.",
		Example: `  rollcall init
  rollcall init ldap --server ldaps://ldap.example
  rollcall init csv -c people.yaml`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"csv", "ldap", "entra"},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := "csv"
			if len(args) > 0 {
				kind = args[0]
			}
			if server != "" && kind != "ldap" {
				return usage(try(errors.New("--server is for LDAP"), "rollcall init ldap --server "+server))
			}
			text, err := a.fill(cmd, kind, server)
			if err != nil {
				return err
			}
			return a.writeNew(text)
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "the `address` of an LDAP server: ldaps://ldap.example")
	return cmd
}

// fill returns the template of a kind with what could be found out.
func (a *app) fill(cmd *cobra.Command, kind, server string) (string, error) {
	known := answers{Type: "openldap", Server: "ldaps://ldap.example", BindDN: "cn=reader,dc=example",
		BaseDN: "ou=People,dc=example", Filter: "(objectClass=inetOrgPerson)"}
	if server != "" {
		known.Server = server
		found, err := ldap.Discover(cmd.Context(), server)
		if err != nil {
			a.print("%s does not say what it is (%v): type and base_dns in the file are examples\n", server, err)
		} else {
			known.learn(found)
		}
	}
	t, err := template.ParseFS(templates, "templates/"+kind+".yaml")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, known)
	return b.String(), err
}

// learn takes over what a server says of itself.
func (k *answers) learn(found ldap.Discovered) {
	if found.Type != "" {
		k.Type = found.Type
	}
	if found.Type == "active-directory" {
		k.Filter = "(&(objectCategory=person)(objectClass=user))"
	}
	if len(found.NamingContexts) > 0 {
		k.BaseDN = found.NamingContexts[0]
		k.BindDN = "cn=reader," + k.BaseDN
	}
}

func (a *app) writeNew(text string) error {
	wrote, err := create(a.configFile, text)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return try(err, "mkdir -p the folder first")
	case err != nil:
		return err
	case !wrote:
		return usage(try(fmt.Errorf("%s is there already and stays as it is", a.configFile), "rollcall init -c other.yaml"))
	}
	a.say("wrote %s\nnext: edit it, then %s\n", a.configFile, a.pasteable("rollcall check"))
	return nil
}
