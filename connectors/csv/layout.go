package csv

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"rollcall/connectors"
)

// layout says what the cells of a row are.
type layout struct {
	// names are the columns in the order of the file, in capitals.
	names []string
	// attributes are the columns that records list, sorted by name.
	attributes []attribute
	// The places of the columns that say more than their value, -1 where the file has them not.
	ownKey, externalID, userNames, active int
	warnings                              []string
	fold                                  cases.Caser
}

type attribute struct {
	name string
	cell int
}

// newLayout reads the first row of a file: its column names, or a first person that shows their number.
func newLayout(first *rows, c Config, wanted []string, comma byte) (*layout, error) {
	l := &layout{fold: cases.Fold()}
	var err error
	if c.NoHeader {
		err = l.byPosition(first)
	} else {
		err = l.byName(first)
	}
	at := fmt.Sprintf("%s:%d: ", c.Path, first.first)
	if err == nil && len(l.names) < 2 {
		err = connectors.Hint(fmt.Errorf("one column only (%.40q) with the delimiter %s", first.cell(0), delimiterName(comma)),
			`Try delimiter: with the character that stands between the columns.`)
	}
	if err == nil {
		err = l.place(c, wanted, at)
	}
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("%s%w: %w", at, err, connectors.ErrScope), connectors.HintOf(err))
	}
	return l, nil
}

// byPosition takes the documented order; columns that the rows do not reach are missing ones.
func (l *layout) byPosition(first *rows) error {
	n := len(first.cells)
	if n > positions {
		return connectors.Hint(fmt.Errorf("%d cells, but a file without a header has at most %d", n, positions),
			"Try a header with the names of the columns, and no_header: false.")
	}
	if n > 1 && canonical(string(first.cell(1))) == userNames {
		return connectors.Hint(errors.New("the first line holds column names, but no_header is true"), "Try no_header: false.")
	}
	for _, c := range Columns()[:n] {
		l.names = append(l.names, c.Name)
	}
	return nil
}

func (l *layout) byName(first *rows) error {
	for i := range first.cells {
		name := canonical(string(first.cell(i)))
		if j := slices.Index(l.names, name); j >= 0 && name != "" {
			return connectors.Hint(fmt.Errorf("columns %d and %d are both %s", j+1, i+1, name), "Try to rename one of them.")
		}
		l.names = append(l.names, name)
	}
	return nil
}

// place finds the key columns and the attributes.
func (l *layout) place(c Config, wanted []string, at string) error {
	l.ownKey, l.externalID, l.userNames, l.active = -1, l.find(externalID), l.find(userNames), l.find(active)
	switch key := canonical(c.Key); {
	case key != "" && l.find(key) < 0:
		return connectors.Hint(fmt.Errorf("there is no column %s, which `key:` names", key), "Try one of "+l.list()+".")
	case key == externalID:
		l.userNames = -1
	case key == userNames:
		l.externalID = -1
	case key != "":
		l.ownKey, l.externalID, l.userNames = l.find(key), -1, -1
	case l.externalID < 0 && l.userNames < 0:
		return connectors.Hint(fmt.Errorf("there is neither a column %s nor %s", userNames, externalID),
			"Try `key:` with one of "+l.list()+", or no_header: true if the file begins with a person.")
	}
	l.choose(wanted, at)
	return nil
}

// choose lists the columns that are attributes: the documented ones but PWD, and what the mapping uses.
func (l *layout) choose(wanted []string, at string) {
	var unknown []string
	for i, name := range l.names {
		w := slices.IndexFunc(wanted, func(w string) bool { return canonical(w) == name })
		switch {
		case name == password:
			l.warnings = append(l.warnings, at+"the column PWD is ignored: passwords are never read")
		case isDocumented(name):
			l.attributes = append(l.attributes, attribute{name, i})
		case w >= 0 && name != "":
			l.attributes = append(l.attributes, attribute{wanted[w], i})
		case i != l.ownKey:
			unknown = append(unknown, columnName(name, i))
		}
	}
	if len(unknown) > 0 {
		l.warnings = append(l.warnings, at+"ignored, as no column is called so and no mapping uses it: "+strings.Join(unknown, ", "))
	}
	slices.SortFunc(l.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
}

func columnName(name string, i int) string {
	if name == "" {
		return fmt.Sprintf("column %d (without a name)", i+1)
	}
	return name
}

func (l *layout) find(name string) int { return slices.Index(l.names, name) }

// list names the columns for a hint, the first ten.
func (l *layout) list() string {
	named := slices.DeleteFunc(slices.Clone(l.names), func(n string) bool { return n == "" || secret(n) })
	if len(named) > 10 {
		return strings.Join(named[:10], ", ") + ", …"
	}
	return strings.Join(named, ", ")
}
