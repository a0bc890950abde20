package csv

import (
	"bytes"
	"context"
	stdcsv "encoding/csv"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/connectors"
)

// FuzzRows holds the cutting of rows to what encoding/csv makes of everything that it accepts.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a,\"b\"\"c\"\r\n\r\n\"x\ny\",z", "a\r", "\"a\"b,c\n", "\"", ",", "a b \"c\"\n", "\"a\r\nb\"\r\n", "\"\r\r\n\"", "\n\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		std := stdcsv.NewReader(strings.NewReader(text))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()
		got, ownErr := readAll(text)
		if err != nil {
			return // a quotation mark inside a cell is taken here and refused there
		}
		if ownErr != nil {
			t.Fatalf("encoding/csv takes %q: %q; here: %v", text, want, ownErr)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
	})
}

func readAll(text string) (all [][]string, err error) {
	r := newRows(strings.NewReader(text), "x.csv", ',')
	for {
		if err := r.next(); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
		var row []string
		for i := range r.cells {
			row = append(row, string(r.cell(i)))
		}
		all = append(all, row)
	}
}

// FuzzRead reads any bytes as a file: it never panics, and what it emits is as the contract has it.
func FuzzRead(f *testing.F) {
	f.Add([]byte("FULLNAME,USERNAME_ALIASES\nAl,al\nAl,al\n"), "", false)
	f.Add([]byte("\xff\xfeE\x00X\x00T\x00I\x00D\x00,\x00A\x00\n\x001\x00,\x00x\x00\n\x00"), "auto", false)
	f.Add([]byte("Al;al\n\"B\nb\";bob;\n"), "windows-1250", true)
	f.Add([]byte("EXTID,PWD,ACTIVE\n\xc5\x99,x,0\n,,\n1,\x00\n2,\xe9,3\n"), "utf-8", false)
	path := filepath.Join(f.TempDir(), "people.csv")
	f.Fuzz(func(t *testing.T, data []byte, encoding string, noHeader bool) {
		c := Config{Path: path, Encoding: encoding, NoHeader: noHeader, AllowEmpty: true}
		if c.Validate() != nil {
			return
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := c.Open(connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		readAny(t, source)
	})
}

func readAny(t *testing.T, source connectors.Connector) {
	seen := map[string]bool{}
	var keys []string
	outcome, err := source.Read(context.Background(), nil, func(r connectors.Record) error {
		if seen[r.Key] || r.Key == "" || !utf8.ValidString(r.Key) || (r.Problem != "") != (r.Attributes == nil) {
			t.Fatalf("record %+v, key seen before: %t", r, seen[r.Key])
		}
		seen[r.Key], keys = true, append(keys, r.Key)
		for _, a := range r.Attributes {
			for _, v := range a.Values {
				if !utf8.ValidString(v) || bytes.IndexByte([]byte(v), 0) >= 0 || a.Name == password {
					t.Fatalf("attribute %+v", a)
				}
			}
		}
		return nil
	})
	if err != nil {
		if outcome.Whole || connectors.HintOf(err) == "" || len(keys) > 0 {
			t.Fatalf("%d emitted, outcome %+v with the error %v, hint %q", len(keys), outcome, err, connectors.HintOf(err))
		}
		return
	}
	present, err := source.Present(context.Background(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !present[key] {
			t.Fatalf("%q was emitted and is not present", key)
		}
	}
}
