package main

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"rollcall/pipeline/show"
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
func line(w io.Writer, v any) error { return show.Line(w, v) }

// plain escapes what would do something to a terminal.
func plain(s string) string { return show.Plain(s) }

// thousands writes 12345 as "12,345".
func thousands(n int) string { return show.Thousands(n) }

// clock writes a time for a table.
func clock(t time.Time) string { return show.Clock(t) }

// seconds writes how long something took.
func seconds(s float64) string { return show.Seconds(s) }
