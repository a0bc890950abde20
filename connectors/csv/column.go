package csv

import "strings"

// Column is a documented column of a MyQ CSV file.
type Column struct {
	Name string
	// Position is its place in a file without a header, from 1; 0 for a column that such a file has not.
	Position int
}

// Columns returns the documented columns (V2): the 15 of a positional file in order, then the others.
func Columns() []Column {
	names := strings.Fields(documented)
	all := make([]Column, len(names))
	for i, name := range names {
		all[i].Name = name
		if i < positions {
			all[i].Position = i + 1
		}
	}
	return all
}

const (
	documented = `FULLNAME USERNAME_ALIASES EMAIL CARDS GROUPS CODE SCANSTORAGE PIN MANAGED_GROUPS AUTHSERVER PHONE LANG PWD EXTID DELEGATES
		ALT_EMAILS DEPARTMENT NOTES CUSTOM1 CUSTOM2 CUSTOM3 COST_CENTERS DEFAULT_GROUP USE_AUTHSERVER SYNC_SOURCE ONPREM_DOMAIN ONPREM_USER ACTIVE`
	positions = 15

	userNames  = "USERNAME_ALIASES"
	externalID = "EXTID"
	active     = "ACTIVE"
	password   = "PWD"
	pin        = "PIN"
)

// canonical is how a column's name is compared.
func canonical(name string) string { return strings.ToUpper(strings.TrimSpace(name)) }

// positional returns the place of a column in a file without a header, 0 if it has none.
func positional(name string) int {
	for _, c := range Columns() {
		if c.Name == name {
			return c.Position
		}
	}
	return 0
}

func isDocumented(name string) bool {
	for _, c := range Columns() {
		if c.Name == name {
			return true
		}
	}
	return false
}

func secret(name string) bool { return name == password || name == pin }
