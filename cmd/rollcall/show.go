package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table writes rows in columns when it ends. Cells are escaped.
type table struct {
	out     io.Writer
	columns *tabwriter.Writer
	text    bytes.Buffer
}

func newTable(out io.Writer, head ...string) *table {
	t := &table{out: out}
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		fmt.Fprint(t.columns, plain(c))
		if i < len(cells)-1 {
			fmt.Fprint(t.columns, "\t")
		}
	}
	fmt.Fprintln(t.columns)
}

// end writes the table, without blanks at the ends of lines.
func (t *table) end() error {
	if err := t.columns.Flush(); err != nil {
		return err
	}
	for row := range bytes.Lines(t.text.Bytes()) {
		if _, err := fmt.Fprintf(t.out, "%s\n", bytes.TrimRight(row, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// line writes v as one line of JSON.
func line(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// plain escapes what would do something to a terminal.
func plain(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// thousands writes 12345 as "12,345".
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clock writes a time for a table.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// seconds writes how long something took.
func seconds(s float64) string {
	if s >= 100 {
		return time.Duration(s * float64(time.Second)).Round(time.Second).String()
	}
	if s < 1 {
		return fmt.Sprintf("%.2fs", s)
	}
	return fmt.Sprintf("%.1fs", s)
}
