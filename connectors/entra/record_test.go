package entra

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"rollcall/connectors"
)

var goldenAttributes = []string{"displayName", "givenName", "surname", "jobTitle", "mobilePhone", "businessPhones"}

// TestMicrosoftsSamples reads what Microsoft's documentation shows, to keep connector and emulator from sharing
// a misunderstanding.
func TestMicrosoftsSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) != 2 {
		t.Fatalf("golden files %v, error %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parts := txtar.Parse(raw).Files
		for i := 0; i+1 < len(parts); i += 2 {
			body, want := parts[i], parts[i+1]
			t.Run(body.Name, func(t *testing.T) {
				got, err := describePage(body.Data, want.Name == "want, first round", strings.Contains(file, "groups"))
				if err != nil || got != string(want.Data) {
					t.Errorf("error %v, got\n%s\nwant\n%s", err, got, want.Data)
				}
			})
		}
	}
}

// describePage writes a page's records, a line each.
func describePage(body []byte, whole, groups bool) (string, error) {
	var b strings.Builder
	p, r, g := newPage(), newReader(connectors.User, goldenAttributes), newGroups(whole, time.Time{})
	err := p.walk(body, func(p *page) error {
		if groups {
			return g.take(p)
		}
		rec, err := r.read(p, whole)
		b.WriteString(describe(rec))
		return err
	})
	for _, id := range slices.Sorted(maps.Keys(g.byID)) {
		b.WriteString(describe(g.byID[id].full(whole)))
	}
	kind := "next\n"
	if p.delta != "" {
		kind = "delta\n"
	}
	return kind + b.String(), err
}

func describe(r connectors.Record) string {
	var b strings.Builder
	b.WriteString(r.Key)
	if r.Deleted {
		return b.String() + " deleted\n"
	}
	fmt.Fprintf(&b, " %q", r.Name)
	if r.Partial {
		b.WriteString(" partial")
	}
	for _, a := range r.Attributes {
		fmt.Fprintf(&b, " %s=%q", a.Name, a.Values)
	}
	return b.String() + "\n"
}

func TestRecord(t *testing.T) {
	asked := []string{"Mail", "employeeOrgData.division", upnPrefix, onPremisesName, "onPremisesSamAccountName", "onPremisesDomainName", "userPrincipalName", "manager", "accountEnabled"}
	for _, c := range []struct{ name, object, want string }{
		{"text", `{"id":"1","mail":"a@b"}`, `1 "1" partial Mail=["a@b"]`},
		{"escapes", `{"id":"1","city":"a\"\\\u0159\ud83d\ude00\n"}`, `1 "1" partial city=["a\"\\ř😀\n"]`},
		{"NUL", `{"id":"1","city":"a\u0000b"}`, `1 "1" partial city=["a\x00b"]`},
		{"lone surrogate", `{"id":"1","city":"\ud800"}`, `1 "1" partial city=["�"]`},
		{"no UTF-8", "{\"id\":\"1\",\"city\":\"a\xffb\"}", `1 "1" partial city=["a�b"]`},
		{"booleans", `{"id":"1","accountEnabled":true,"x":false}`, `1 "1" partial accountEnabled=["true"] x=["false"]`},
		{"numbers digit by digit", `{"id":"1","n":9007199254740993,"f":1.50,"e":1E400}`, `1 "1" partial e=["1E400"] f=["1.50"] n=["9007199254740993"]`},
		{"fractions of seconds", `{"id":"1","t":"2026-01-02T03:04:05.1234567Z"}`, `1 "1" partial t=["2026-01-02T03:04:05.1234567Z"]`},
		{"null", `{"id":"1","mail":null}`, `1 "1" partial Mail=[]`},
		{"arrays are sets", `{"id":"1","otherMails":["b","a",null,"B"]}`, `1 "1" partial otherMails=["B" "a" "b"]`},
		{"empty array", `{"id":"1","otherMails":[]}`, `1 "1" partial otherMails=[]`},
		{"objects in arrays", `{"id":"1","identities":[{"b": "2", "a":1},[1, 2]]}`, `1 "1" partial identities=["[1,2]" "{\"a\":1,\"b\":\"2\"}"]`},
		{"complex", `{"id":"1","employeeOrgData":{"costCenter":"7","x":{"y":null}}}`, `1 "1" partial employeeOrgData.costCenter=["7"] employeeOrgData.division=[] employeeOrgData.x.y=[]`},
		{"complex null", `{"id":"1","employeeOrgData":null}`, `1 "1" partial employeeOrgData.division=[]`},
		{"complex unknown null", `{"id":"1","other":null}`, `1 "1" partial other=[]`},
		{"annotations", `{"id":"1","@odata.type":"#x","mail@odata.type":"#y","a":{"@odata.type":"#z","b":"c"}}`, `1 "1" partial a.b=["c"]`},
		{"derived", `{"id":"1","userPrincipalName":"ann@x.y","onPremisesSamAccountName":"ann","onPremisesDomainName":"x.y"}`,
			`1 "ann@x.y" partial onPremisesDomainName=["x.y"] onPremisesSamAccountName=["ann"] onPremisesSamAccountName@onPremisesDomainName=["ann@x.y"] upnPrefix=["ann"] userPrincipalName=["ann@x.y"]`},
		{"half derived", `{"id":"1","onPremisesSamAccountName":"ann"}`, `1 "1" partial onPremisesSamAccountName=["ann"] onPremisesSamAccountName@onPremisesDomainName=[]`},
		{"manager", `{"id":"1","manager@delta":[{"@odata.type":"#microsoft.graph.user","id":"7","@removed":{"reason":"deleted"}},{"id":"8"}]}`, `1 "1" partial manager=["8"]`},
		{"no manager any more", `{"id":"1","manager@delta":[{"id":"7","@removed":{"reason":"deleted"}}]}`, `1 "1" partial manager=[]`},
		{"removed", `{"@removed":{"reason":"changed"},"id":"1","mail":"a"}`, `1 deleted`},
		{"a name twice", `{"id":"1","mail":"a","mail":"b"}`, `1 "1" partial Mail=["b"]`},
		{"an escaped name", `{"id":"1","m\u0061il":"a"}`, `1 "1" partial Mail=["a"]`},
		{"deep", `{"id":"1","a":` + strings.Repeat(`{"b":`, 50) + `1` + strings.Repeat(`}`, 50) + `}`, `1 "1" partial a` + strings.Repeat(".b", 50) + `=["1"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReader(connectors.User, asked)
			var got string
			err := newPage().walk([]byte(`{"value":[`+c.object+`],"@odata.deltaLink":"x"}`), func(p *page) error {
				rec, err := r.read(p, false)
				got = strings.TrimSuffix(describe(rec), "\n")
				return err
			})
			if err != nil || got != c.want {
				t.Errorf("error %v\n got %s\nwant %s", err, got, c.want)
			}
		})
	}
}

func TestRecordDoesNotDependOnTheOnesBefore(t *testing.T) {
	objects := []string{`{"id":"1","a":{"x":"1","y":"2"}}`, `{"id":"2","a":null}`, `{"id":"3","a":{"x":null}}`, `{"id":"4"}`, `{"id":"5","a":[1]}`}
	alone := map[string]string{}
	for _, o := range objects {
		alone[o], _ = describePage([]byte(`{"value":[`+o+`]}`), true, false)
	}
	for range 20 {
		r, p := newReader(connectors.User, goldenAttributes), newPage()
		for _, o := range objects {
			var got string
			if err := p.walk([]byte(`{"value":[`+o+`]}`), func(p *page) error {
				rec, err := r.read(p, true)
				got = "next\n" + describe(rec)
				return err
			}); err != nil || got != alone[o] {
				t.Fatalf("error %v, after others %s, alone %s", err, got, alone[o])
			}
		}
		objects = append(objects[1:], objects[0])
	}
}

func TestBrokenPages(t *testing.T) {
	for _, body := range []string{
		``, `[]`, `null`, `{}`, `{"value":{}}`, `{"value":[1]}`, `{"value":[{}]}`, `{"value":[{"id":1}]}`, `{"value":[{"id":""}]}`,
		`{"value":[{"id":"1"}`, `{"value":[],"@odata.nextLink":7}`, `{"value":[]} {"value":[]}`, `{"value":[{"id":"1",}]}`,
		`{"value":[{"id":"1","members@delta":{}}]}`, `{"value":[{"id":"1","members@delta":[1]}]}`, `{"value":[{"id":"1","a":` + strings.Repeat(`{"b":`, 20000) + `1`,
	} {
		if got, err := describePage([]byte(body), true, false); err == nil {
			t.Errorf("%.60s is read as %s", body, got)
		}
	}
}

func TestTooManyNamesEnd(t *testing.T) {
	var b strings.Builder
	for i := range mostSlots + 2 {
		fmt.Fprintf(&b, `,"a%d":1`, i)
	}
	if _, err := describePage([]byte(`{"value":[{"id":"1"`+b.String()+`}]}`), true, false); err == nil {
		t.Error("want an error")
	}
}

func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","mail":"a","x":[1,"b",{"c":null}],"manager@delta":[{"id":"2"}]}],"@odata.nextLink":"x"}`,
		`{"value":[{"id":"\u0031","@removed":{}},{"id":"2","members@delta":[{"id":"3","@removed":0}]}],"@odata.deltaLink":null}`,
		`{"value":null}`, "{\"value\":[{\"\xff\":\"\xff\",\"id\":\"\xff\"}]}",
	} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		r := newReader(connectors.User, append(goldenAttributes, upnPrefix, onPremisesName, "a.b"))
		_ = newPage().walk(body, func(p *page) error {
			rec, err := r.read(p, whole)
			if err != nil {
				return err
			}
			wellFormed(t, rec, whole)
			return nil
		})
		_, _ = describePage(body, whole, true)
	})
}

func wellFormed(t *testing.T, r connectors.Record, whole bool) {
	t.Helper()
	if r.Key == "" || r.Name == "" || r.Deleted && len(r.Attributes) > 0 || whole && r.Partial {
		t.Fatalf("record %+v", r)
	}
	for i, a := range r.Attributes {
		if i > 0 && r.Attributes[i-1].Name >= a.Name || !slices.IsSorted(a.Values) || !utf8.ValidString(a.Name) {
			t.Fatalf("attribute %d of %+v", i, r)
		}
		for _, v := range a.Values {
			if !utf8.ValidString(v) {
				t.Fatalf("value %q of %s", v, a.Name)
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00b eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.x $skiptoken=abc&x=1 client_secret=\"s\" \xff")
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s)
		if !utf8.ValidString(c) || len(c) > maxMessage+len("…") || strings.ContainsAny(c, "\r\n\x00") || secrets.MatchString(c) {
			t.Fatalf("%q is cleaned to %q", s, c)
		}
	})
}
