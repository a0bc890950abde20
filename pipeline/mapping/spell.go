package mapping

import (
	"errors"
	"fmt"
	"strings"

	"rollcall/store"
)

// Spell returns a value that a person gives in the form that the property has, or an error that names the rule. targets
// are the names that a storage may have (U12).
func Spell(p store.Property, value string, targets []string) (string, error) {
	f := form{property: p, targets: targets}
	value, err := clean(value, f.breaks())
	if err == nil && value != "" {
		value, err = f.check(value)
	}
	if err == nil && p == store.UseAuthenticationServer && value != "" && !isBoolean(value) {
		err = errors.New("true or false; a server is named by authentication_server [U13]")
	}
	if err != nil {
		return "", byHand(p, err)
	}
	return value, nil
}

// SpellList returns the values of a comma list (V3: "," "|" and "\" inside a name stand behind a "\"), each in the form
// that the property has, sorted and once.
func SpellList(p store.Property, text string, targets []string) ([]string, error) {
	f := form{property: p, targets: targets}
	var values []string
	for _, part := range split(nil, text, ",") {
		if !f.isPath() {
			part = unescape(part, ",")
		}
		value, err := Spell(p, part, targets)
		if err != nil {
			return nil, err
		}
		if value != "" {
			values = append(values, value)
		}
	}
	return f.unique(values), nil
}

// byHand says of a value that a person gave why it cannot be: nothing is left out then.
func byHand(p store.Property, err error) error {
	text := strings.NewReplacer("; left out", "", "; left as it was", "").Replace(err.Error())
	return fmt.Errorf("%s: %s", p, text)
}
