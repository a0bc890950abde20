package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/csv"
)

func TestConformance(t *testing.T) {
	c := company{path: filepath.Join(t.TempDir(), "people.csv")}
	connectorstest.Run(t, connectorstest.Harness{
		Open: c.open, Fill: c.fill, Want: want, Remove: c.remove, Update: c.update, Reorder: c.reorder,
		Missing:     func(i int) string { return "ext:" + people.New(99).Person(i).ExternalID },
		Unreachable: func(t testing.TB) connectors.Connector { return open(t, csv.Config{Path: c.path + ".none"}) },
		Breaks:      c.breaks(),
	})
}

// TestConformanceOfSeveralFiles spreads the same people over files, of which the first is the one that is cut, replaced and removed.
func TestConformanceOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	c := company{path: filepath.Join(dir, "people.csv")}
	for i := range 5 {
		c.more = append(c.more, filepath.Join(dir, fmt.Sprintf("more%d.csv", i)))
	}
	connectorstest.Run(t, connectorstest.Harness{
		Open: c.open, Fill: c.fill, Want: want, Remove: c.remove, Update: c.update, Reorder: c.reorder,
		Missing: func(i int) string { return "ext:" + people.New(99).Person(i).ExternalID },
		Unreachable: func(t testing.TB) connectors.Connector {
			return open(t, csv.Config{Paths: []string{c.path, c.path + ".none"}})
		},
		Breaks: slices.DeleteFunc(c.breaks(), func(b connectorstest.Break) bool {
			return b.Name == "cut after the header" // some of few people's files have nobody, and may
		}),
	})
}

// company is a file of people, or several, rewritten as a whole whenever it changes.
type company struct {
	path string
	more []string
	rows [][]string
}

func (c *company) open(t testing.TB) connectors.Connector {
	if len(c.more) == 0 {
		return open(t, csv.Config{Path: c.path})
	}
	return open(t, csv.Config{Paths: append([]string{c.path}, c.more...), AllowEmpty: true})
}

func (c *company) fill(t testing.TB, list []people.Person) []string {
	c.rows = [][]string{people.CSVHeader()}
	keys := make([]string, len(list))
	for i, p := range list {
		c.rows = append(c.rows, people.CSVRow(p))
		keys[i] = "ext:" + p.ExternalID
	}
	c.write(t)
	return keys
}

func (c *company) write(t testing.TB) {
	rows := c.rows[1:]
	for i, path := range c.more {
		n := len(rows) / (len(c.more) + 1 - i)
		c.writeFile(t, path, rows[:n])
		rows = rows[n:]
	}
	c.writeFile(t, c.path, rows)
}

func (c *company) writeFile(t testing.TB, path string, rows [][]string) {
	var text bytes.Buffer
	if err := stdcsv.NewWriter(&text).WriteAll(append([][]string{c.rows[0]}, rows...)); err != nil {
		t.Fatal(err)
	}
	replace(t, path, text.String())
}

func (c *company) remove(t testing.TB, key string) {
	c.rows = slices.Delete(c.rows, c.row(key), c.row(key)+1)
	c.write(t)
}

func (c *company) update(t testing.TB, key string, p people.Person) {
	p.ExternalID = strings.TrimPrefix(key, "ext:")
	c.rows[c.row(key)] = people.CSVRow(p)
	c.write(t)
}

func (c *company) row(key string) int {
	at := slices.Index(c.rows[0], "EXTID")
	return slices.IndexFunc(c.rows, func(row []string) bool { return "ext:"+row[at] == key })
}

// reorder turns rows and columns round.
func (c *company) reorder(t testing.TB) {
	slices.Reverse(c.rows[1:])
	for _, row := range c.rows {
		slices.Reverse(row)
	}
	c.write(t)
}

func want(p people.Person) map[string][]string {
	all := map[string][]string{}
	row := people.CSVRow(p)
	for i, name := range people.CSVHeader() {
		switch {
		case name == "PWD" || name == "EXTID": // an updated entry keeps its id
		case row[i] == "":
			all[name] = nil
		default:
			all[name] = []string{row[i]}
		}
	}
	return all
}

// breaks are the ways in which a file ends early or changes under the reader (V5).
func (c *company) breaks() []connectorstest.Break {
	filled := func(change func(t testing.TB, text string)) func(testing.TB, []people.Person) connectors.Connector {
		return func(t testing.TB, list []people.Person) connectors.Connector {
			c.fill(t, list)
			data, err := os.ReadFile(c.path)
			if err != nil {
				t.Fatal(err)
			}
			change(t, string(data))
			return c.open(t)
		}
	}
	whole := filled(func(testing.TB, string) {})
	return []connectorstest.Break{
		{Name: "cut in the middle of a row", Err: connectors.ErrIncomplete,
			Open: filled(func(t testing.TB, text string) { replace(t, c.path, text[:len(text)-60]) })},
		{Name: "cut inside a quoted cell", Err: connectors.ErrIncomplete,
			Open: filled(func(t testing.TB, text string) { replace(t, c.path, text[:strings.LastIndex(text, `"`)]) })},
		{Name: "cut after the header", Err: connectors.ErrIncomplete,
			Open: filled(func(t testing.TB, text string) { replace(t, c.path, text[:strings.Index(text, "\n")+1]) })},
		{Name: "no bytes", Err: connectors.ErrIncomplete, Open: filled(func(t testing.TB, _ string) { replace(t, c.path, "") })},
		{Name: "removed while read", Err: connectors.ErrChanged, Open: whole, During: func(t testing.TB) { must(t, os.Remove(c.path)) }},
		{Name: "replaced while read", Err: connectors.ErrChanged, Open: whole, During: func(t testing.TB) {
			data, err := os.ReadFile(c.path)
			must(t, err)
			replace(t, c.path+".new", string(data))
			must(t, os.Rename(c.path+".new", c.path))
		}},
		{Name: "appended to while read", Err: connectors.ErrChanged, Open: whole, During: func(t testing.TB) {
			f, err := os.OpenFile(c.path, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("one,more\n")
			must(t, err)
			must(t, f.Close())
		}},
		{Name: "emptied while read", Err: connectors.ErrChanged, Open: whole, During: func(t testing.TB) { must(t, os.Truncate(c.path, 0)) }},
	}
}

func open(t testing.TB, c csv.Config) connectors.Connector {
	t.Helper()
	opened, err := c.Open(connectors.Env{Source: "people"})
	must(t, err)
	return opened
}

func replace(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
