package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// findCommands looks whether the command line named a configuration: commands that are to be pasted name it then too. One that comes from
// the environment is there for the next command as well.
func (a *app) findCommands(cmd *cobra.Command) {
	if !cmd.Flag("config").Changed {
		return
	}
	var names []string
	for _, c := range cmd.Root().Commands() {
		if c.Name() != "demo" { // brings its own
			names = append(names, c.Name())
		}
	}
	a.commands = regexp.MustCompile(`\brollcall (` + strings.Join(names, "|") + `)\b`)
}

// pasteable returns the text with commands that mean the same configuration as this one.
func (a *app) pasteable(text string) string {
	if a.commands == nil {
		return text
	}
	file := strings.ReplaceAll(quoted(a.configFile), "$", "$$")
	return a.commands.ReplaceAllString(text, "rollcall -c "+file+" $1")
}

var bareWord = regexp.MustCompile(`^[\w./:@%+,-]+$`)

// quoted is a word of a command line, in quotation marks where a shell wants them.
func quoted(word string) string {
	if bareWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
