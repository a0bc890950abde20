package csv_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/csv"
)

// spread writes files and returns their paths, sorted by name.
func spread(t testing.TB, texts map[string]string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		replace(t, path, text)
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Several files are one source: each with its own columns, rows called by their file, keys unique over all.
func TestSeveralFiles(t *testing.T) {
	paths := spread(t, map[string]string{
		"a.csv":        "FULLNAME,USERNAME_ALIASES,PHONE\nAl,al,1\nBob,bob,2\nCyd,cyd,3\n",
		"b.csv":        "USERNAME_ALIASES;FULLNAME\nDan;Dan\nAL;Al\n",
		"sub/last.csv": "USERNAME_ALIASES,FULLNAME\neve,Eve\nal,Al\ncyd,Cyd,\nfay\n",
		"sub/b.csv":    "USERNAME_ALIASES,FULLNAME\ngus,Gus\ngus,Gus\n",
	})
	var got []string
	c := open(t, csv.Config{Paths: paths})
	o, err := c.Read(t.Context(), nil, func(r connectors.Record) error { got = append(got, show(r)); return nil })
	must(t, err)
	slices.Sort(got)
	b, subB := paths[1], paths[2]
	want := []string{
		"name:al a.csv:2 problem: a.csv:2, " + b + ":3 and last.csv:3 are all al",
		"name:bob a.csv:3 FULLNAME=Bob PHONE=2 USERNAME_ALIASES=bob",
		"name:cyd a.csv:4 problem: a.csv:4 and last.csv:4 are both cyd",
		"name:dan " + b + ":2 FULLNAME=Dan USERNAME_ALIASES=Dan",
		"name:eve last.csv:2 FULLNAME=Eve USERNAME_ALIASES=eve",
		"name:fay last.csv:5 problem: line 5: 1 cell where 2 are expected",
		"name:gus " + subB + ":2 problem: " + subB + ":2 and " + subB + ":3 are both gus",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	evidence := "end of a.csv after 3 rows, of " + b + " after 2, of " + subB + " after 2, of last.csv after 4, sizes and times unchanged"
	if !o.Whole || o.Evidence != evidence || o.Server != strings.Join(paths, ", ") || o.Pages != 4 {
		t.Errorf("outcome %+v, want the evidence %s", o, evidence)
	}
	present, err := c.Present(t.Context(), []string{"name:dan", "name:gus", "name:zoe"})
	if err != nil || !reflect.DeepEqual(present, map[string]bool{"name:dan": true, "name:gus": true, "name:zoe": false}) {
		t.Errorf("present %v, %v", present, err)
	}
	lines, err := c.Check(t.Context())
	if err != nil || len(lines) != 16 {
		t.Errorf("check says %q, %v", lines, err)
	}
}

// One file that is missing, cut, or changed while or after it was read, fails the whole pass, and emits nothing where that can be seen before.
func TestSeveralFilesOfWhichOneIsBad(t *testing.T) {
	const good = "USERNAME_ALIASES,FULLNAME\nal,Al\n"
	for _, test := range []struct {
		name   string
		text   string
		during func(path string) error
		err    error
	}{
		{"cut", "USERNAME_ALIASES,FULLNAME\nbob", nil, connectors.ErrIncomplete},
		{"empty", "", nil, connectors.ErrIncomplete},
		{"no key column", "FULLNAME,EMAIL\nBob,b@x\n", nil, connectors.ErrScope},
		{"removed", "USERNAME_ALIASES,FULLNAME\nbob,Bob\n", os.Remove, connectors.ErrChanged},
		{"written again", "USERNAME_ALIASES,FULLNAME\nbob,Bob\n", func(path string) error { return os.WriteFile(path, []byte(good), 0o600) }, connectors.ErrChanged},
	} {
		t.Run(test.name, func(t *testing.T) {
			paths := spread(t, map[string]string{"a.csv": good, "b.csv": test.text, "c.csv": strings.ReplaceAll(good, "al", "cyd")})
			emitted := 0
			o, err := open(t, csv.Config{Paths: paths}).Read(t.Context(), nil, func(connectors.Record) error {
				if emitted++; emitted == 1 && test.during != nil {
					return test.during(paths[1])
				}
				return nil
			})
			if !errors.Is(err, test.err) || connectors.HintOf(err) == "" || o.Whole || emitted > 0 && test.during == nil {
				t.Errorf("%d emitted, outcome %+v, error %v (hint %q)", emitted, o, err, connectors.HintOf(err))
			}
		})
	}
	paths := spread(t, map[string]string{"a.csv": good})
	if _, err := open(t, csv.Config{Paths: append(paths, paths[0]+".none")}).Read(t.Context(), nil, nil); !errors.Is(err, connectors.ErrUnreachable) {
		t.Errorf("a missing file: %v", err)
	}
}

// Whoever takes the records is called by one goroutine, and not after his own error; nothing goes on behind it.
func TestSeveralFilesEndWithTheirReceiver(t *testing.T) {
	texts := map[string]string{}
	for i := range 12 {
		var b strings.Builder
		b.WriteString("EXTID,FULLNAME\n")
		for row := range 2000 {
			fmt.Fprintf(&b, "%d-%d,Somebody\n", i, row)
		}
		texts[fmt.Sprintf("%02d.csv", i)] = b.String()
	}
	c := open(t, csv.Config{Paths: spread(t, texts)})
	before, enough, emitted := runtime.NumGoroutine(), errors.New("enough"), 0
	for _, most := range []int{1, 700, 23_999} {
		emitted = 0
		_, err := c.Read(t.Context(), nil, func(connectors.Record) error {
			if emitted++; emitted == most {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || emitted != most {
			t.Errorf("%d were emitted, want %d; error %v", emitted, most, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	emitted = 0
	if _, err := c.Read(ctx, nil, func(connectors.Record) error { emitted++; cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after %d records and a cancelled context: %v", emitted, err)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // they are over, and may not be gone yet
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
