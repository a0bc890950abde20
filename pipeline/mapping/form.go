package mapping

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"rollcall/store"
)

// form is what a property's values look like (myq-rules.md, section U).
type form struct {
	property store.Property
	// storage is the rule's type of user_storage, "" to tell it from the value; targets are the names of targets.
	storage string
	targets []string
}

// How many bytes a value may have.
const (
	maxText  = 4096
	maxNotes = 64 << 10
)

func (f *form) limit() int {
	if f.property == store.Notes {
		return maxNotes
	}
	return maxText
}

func (f *form) tooLong() error {
	return fmt.Errorf("it has more than %d bytes; left out [U8]", f.limit())
}

// breaks says what becomes of line breaks in a value, in the words of [clean].
func (f *form) breaks() string {
	switch f.property {
	case store.Notes:
		return "keep"
	case store.FullName, store.Phone, store.Department, store.Custom1, store.Custom2, store.Custom3:
		return "space"
	}
	return ""
}

// isPath reports whether the values are group paths or may be.
func (f *form) isPath() bool {
	switch f.property {
	case store.DefaultGroup, store.Groups, store.ManagedGroups, store.Delegates:
		return true
	}
	return false
}

// check returns a value in the form that its property has, or why it cannot be.
func (f *form) check(value string) (string, error) {
	if len(value) > f.limit() {
		return "", f.tooLong()
	}
	switch f.property {
	case store.UserName, store.Aliases:
		return value, fits(value)
	case store.Email, store.AlternateEmails:
		return value, checkEmail(value)
	case store.DefaultLanguage:
		return languageOf(value)
	case store.UserStorage:
		return f.checkStorage(value)
	case store.UseAuthenticationServer:
		return serverOf(value), nil
	case store.ManagedGroups, store.Delegates:
		if isDN(value) {
			return refer(byDN, value), nil // whom it names is found out later
		}
		return groupPath(value)
	case store.DefaultGroup, store.Groups:
		return groupPath(value)
	}
	return value, nil
}

// unique sorts a list and drops what is in it twice. Aliases are the same when they fold alike.
func (f *form) unique(list []string) []string {
	if len(list) < 2 {
		return list
	}
	slices.Sort(list)
	if f.property != store.Aliases {
		return slices.Compact(list)
	}
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(alias string) bool {
		folded := store.Fold(alias)
		again := seen[folded]
		seen[folded] = true
		return again
	})
}

var errEmail = errors.New("it is no e-mail address; left out [U7]")

// checkEmail wants a bare address. Most are so plain that they need no parser.
func checkEmail(s string) error {
	local, domain, ok := strings.Cut(s, "@")
	if ok && isDotted(local, "!#$%&'*+/=?^_`{|}~-") && isDotted(domain, "-") {
		return nil
	}
	address, err := mail.ParseAddress(s)
	if err != nil || address.Name != "" || strings.ContainsAny(s, "<>") {
		return errEmail
	}
	return nil
}

// isDotted reports whether s is letters, digits and marks with single dots between them.
func isDotted(s, marks string) bool {
	last := byte('.')
	for i := range len(s) {
		b := s[i]
		letter := 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
		if !letter && (b != '.' || last == '.') && strings.IndexByte(marks, b) < 0 {
			return false
		}
		last = b
	}
	return last != '.'
}

// languageOf returns the base of a BCP 47 tag (U10).
func languageOf(s string) (string, error) {
	code, more, tagged := strings.Cut(strings.ReplaceAll(s, "_", "-"), "-")
	if tagged {
		if _, err := language.Parse(code + "-" + more); err != nil {
			code = ""
		}
	}
	if base, err := language.ParseBase(code); err == nil && base.String() != "und" {
		return base.String(), nil
	}
	return "", errors.New("it is no known language code; left as it was [U10]")
}

// serverOf reads the ways of writing true and false; anything else is a server's name (O8).
func serverOf(s string) string {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return "true"
	case "false", "no", "off", "0":
		return "false"
	}
	return s
}

var errStorage = errors.New("it is no UNC or POSIX path, e-mail address or storage target; left out [U12]")

// checkStorage types a storage. A value may come with its type, have the rule's, or show what it is (U12).
func (f *form) checkStorage(s string) (string, error) {
	kind, place, typed := strings.Cut(s, ":")
	typed = typed && slices.Contains([]string{"folder", "email", "target"}, kind)
	switch {
	case typed && f.storage != "" && kind != f.storage:
		return "", fmt.Errorf("it is of type %s and the rule's is %s; left out [U12]", kind, f.storage)
	case typed:
		return f.storageOf(kind, trim(place))
	case f.storage != "":
		return f.storageOf(f.storage, s)
	}
	for _, kind := range []string{"folder", "target", "email"} {
		if storage, err := f.storageOf(kind, s); err == nil {
			return storage, nil
		}
	}
	return "", errStorage
}

func (f *form) storageOf(kind, place string) (string, error) {
	switch kind {
	case "folder":
		if !isFolder(place) {
			return "", errors.New("it is no UNC or POSIX path; left out [U12]")
		}
	case "target":
		if !slices.Contains(f.targets, place) {
			return "", errors.New("it is none of storage_targets; left out [U12]")
		}
	case "email":
		addresses := strings.FieldsFunc(place, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
		if len(addresses) == 0 || slices.ContainsFunc(addresses, func(a string) bool { return checkEmail(a) != nil }) {
			return "", errEmail
		}
		place = strings.Join(addresses, ",")
	}
	return kind + ":" + place, nil
}

// isFolder recognizes \\server\share and /path, without steps upwards.
func isFolder(s string) bool {
	elements := strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '\\' })
	if slices.Contains(elements, "..") {
		return false
	}
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, `\\`) && len(elements) >= 2
}
