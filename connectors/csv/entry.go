package csv

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
)

// judge says what is to be made of rows.
type judge struct {
	*layout
	file string
	// decoded is true when the text came out of a decoder, which puts U+FFFD for what it cannot read.
	decoded bool
	key     []byte // of the present row, overwritten by the next
}

// judgement is about one row.
type judgement struct {
	// blank is true for a row of empty cells, which is nobody.
	blank bool
	// problem says why the row cannot be taken over, "" for a good row.
	problem string
	// ragged is true when the row has too many or too few cells, so that its key may stand elsewhere.
	ragged   bool
	disabled bool
}

// row judges the row and sets its key. An error means that the row's key cannot be told.
func (j *judge) row(r *rows) (judgement, error) {
	var v judgement
	if n := len(r.cells); n != len(j.names) && !emptyFrom(r, len(j.names)) {
		v.ragged, v.problem = true, cellsOf(n, len(j.names))
		if err := j.raggedRow(r, v.problem); err != nil {
			return v, err
		}
	}
	if !j.findKey(r) {
		if v.blank = !v.ragged && emptyFrom(r, 0); v.blank {
			return v, nil
		}
		return v, j.refuse(r, "no key: "+j.keyColumns()+" empty", "Try to fill it in or to delete the line.")
	}
	if bad := j.unreadable(r); bad != "" {
		if j.unreadableText(j.key) != "" {
			return v, j.refuse(r, "the key "+bad, "Try to save the file as UTF-8, or say `encoding:`.")
		}
		if !r.ended {
			return v, j.breaksOff(r, bad)
		}
		v.problem = bad
	}
	return j.activity(r, v), nil
}

func cellsOf(n, want int) string {
	if n == 1 {
		return fmt.Sprintf("1 cell where %d are expected", want)
	}
	return fmt.Sprintf("%d cells where %d are expected", n, want)
}

// raggedRow refuses rows that may hold others, or a secret in the place of the key.
func (j *judge) raggedRow(r *rows, what string) error {
	shift := len(r.cells) - len(j.names)
	switch {
	case shift < 0 && !r.ended:
		return j.breaksOff(r, what)
	case r.first != r.line:
		return j.refuse(r, what+", in a row over several lines", "Try to look at the quotation marks of those lines.")
	case len(r.cells) <= max(j.ownKey, j.externalID, j.userNames):
		return j.refuse(r, what+", so that the key may be missing", "Try to fill the row up with delimiters.")
	case j.nearSecret(j.externalID, shift) || j.nearSecret(j.userNames, shift) || j.nearSecret(j.ownKey, shift):
		return j.refuse(r, what+", so that a password or PIN may stand in the place of the key", "Try to put cells with a delimiter in them in quotation marks.")
	}
	return nil
}

func (j *judge) breaksOff(r *rows, what string) error {
	err := fmt.Errorf("%s:%d: the last line breaks off, %s: %w", j.file, r.first, what, connectors.ErrIncomplete)
	return connectors.Hint(err, "Try again when the file is written to its end; write it under another name and rename it.")
}

// nearSecret reports whether a shift by so many columns brings PWD or PIN into the column i.
func (j *judge) nearSecret(i, shift int) bool {
	from, to := min(i-shift, i), max(i-shift, i)
	for k := max(from, 0); i >= 0 && k <= to && k < len(j.names); k++ {
		if secret(j.names[k]) {
			return true
		}
	}
	return false
}

func (j *judge) refuse(r *rows, what, try string) error {
	err := fmt.Errorf("%s:%d: %s: nobody could say who is missing: %w", j.file, r.first, what, connectors.ErrIncomplete)
	return connectors.Hint(err, try)
}

func (j *judge) keyColumns() string {
	switch {
	case j.ownKey >= 0:
		return j.names[j.ownKey] + " is"
	case j.externalID >= 0 && j.userNames >= 0:
		return externalID + " and " + userNames + " are"
	case j.externalID >= 0:
		return externalID + " is"
	}
	return userNames + " is"
}

// findKey sets the key: the prefixes keep an external id and a user name of the same text apart (V3).
func (j *judge) findKey(r *rows) bool {
	if own := bytes.TrimSpace(r.cell(j.ownKey)); len(own) > 0 {
		j.key = append(append(j.key[:0], "key:"...), own...)
		return true
	}
	if id := bytes.TrimSpace(r.cell(j.externalID)); len(id) > 0 {
		j.key = append(append(j.key[:0], "ext:"...), id...)
		return true
	}
	return j.nameKey(r.cell(j.userNames))
}

// nameKey sets the key to the first of a comma list, case-folded. A "\" goes before ",", "|" and "\" only: before anything else
// it is a character of its own, as in CORP\alice.
func (j *judge) nameKey(list []byte) bool {
	const prefix = "name:"
	j.key = append(j.key[:0], prefix...)
	ascii := true
	for i := 0; i < len(list) && list[i] != ','; i++ {
		b := list[i]
		if b == '\\' && i+1 < len(list) && bytes.IndexByte(escapable, list[i+1]) >= 0 {
			i++
			b = list[i]
		}
		ascii = ascii && b < utf8.RuneSelf
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		j.key = append(j.key, b)
	}
	name := bytes.TrimSpace(j.key[len(prefix):])
	if !ascii {
		name = []byte(norm.NFC.String(j.fold.String(norm.NFC.String(string(name)))))
	}
	j.key = append(j.key[:len(prefix)], name...)
	return len(name) > 0
}

// escapable are the characters that a "\" takes their meaning from.
var escapable = []byte(`,|\`)

// unreadable says which column is no text, "" if all are.
func (j *judge) unreadable(r *rows) string {
	if j.unreadableText(r.text) == "" {
		return ""
	}
	for i := range r.cells {
		if bad := j.unreadableText(r.cell(i)); bad != "" {
			return fmt.Sprintf("column %s %s", j.columnName(i), bad)
		}
	}
	return ""
}

func (j *judge) columnName(i int) string {
	if i >= len(j.names) {
		return fmt.Sprint(i + 1)
	}
	return columnName(j.names[i], i)
}

func (j *judge) unreadableText(text []byte) string {
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return "holds a zero byte"
	case j.decoded && bytes.Contains(text, []byte("\uFFFD")), !j.decoded && !utf8.Valid(text):
		return "holds bytes that are no text in the file's encoding"
	}
	return ""
}

func (j *judge) activity(r *rows, v judgement) judgement {
	if v.problem != "" {
		return v
	}
	switch cell := r.cell(j.active); strings.ToLower(string(bytes.TrimSpace(cell))) {
	case "", "1", "y", "yes", "t", "true":
	case "0", "n", "no", "f", "false":
		v.disabled = true
	default:
		v.problem = fmt.Sprintf("column %s is %.20q, want 1 or 0", active, cell)
	}
	return v
}

// emptyFrom reports whether the row has no text from cell i on, and reaches it.
func emptyFrom(r *rows, i int) bool {
	if len(r.cells) < i {
		return false
	}
	for ; i < len(r.cells); i++ {
		if len(bytes.TrimSpace(r.cell(i))) > 0 {
			return false
		}
	}
	return true
}
