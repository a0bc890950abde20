package people_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/connectors/connectorstest"
	"rollcall/connectors/connectorstest/people"
)

func TestPersonDependsOnSeedAndIndexOnly(t *testing.T) {
	list := people.New(7).List(50)
	if !reflect.DeepEqual(list[49], people.New(7).Person(49)) {
		t.Fatal("person 49 of a list differs from person 49 alone")
	}
	if reflect.DeepEqual(list[3], people.New(8).Person(3)) {
		t.Fatal("another seed gives the same person")
	}
	// A golden person: files made with a seed stay what they are.
	if got := list[3].UID + " " + list[3].FullName + " " + list[3].ExternalID; got != golden {
		t.Fatalf("person 3 of seed 7 is now %q, was %q", got, golden)
	}
}

const golden = "nikos.papadopoulos3 Νίκος Παπαδόπουλος 3b641c33-9fe9-449b-89ca-000000000003"

func TestPeopleAreUnique(t *testing.T) {
	const n = 20_000
	seen := map[string]int{}
	empty := 0
	for i, p := range people.New(1).List(n) {
		if p.Phone == "" {
			empty++
		}
		for _, v := range append([]string{p.UID, p.Mail, p.EmployeeNumber, p.ExternalID, p.Password}, append(p.Aliases, p.Cards...)...) {
			if j, again := seen[v]; again {
				t.Fatalf("persons %d and %d share %q", j, i, v)
			}
			seen[v] = i
		}
		for _, c := range p.Cards {
			if _, err := strconv.ParseUint(c, 16, 64); err != nil || len(c) != 14 {
				t.Fatalf("card %q is not 14 hexadecimal digits", c)
			}
		}
		if !utf8.ValidString(p.FullName) || strings.ContainsFunc(p.UID, func(r rune) bool { return r > 'z' }) {
			t.Fatalf("person %d is called %q (%q)", i, p.FullName, p.UID)
		}
	}
	if empty < n/10 || empty > n/6 {
		t.Fatalf("%d of %d have no phone, want about one in eight", empty, n)
	}
}

func TestManagersExist(t *testing.T) {
	list := people.New(3).List(200)
	names := map[string]bool{}
	for _, p := range list {
		names[p.UID] = true
	}
	for _, p := range list {
		if !names[p.Manager] {
			t.Fatalf("%s is managed by %q, who is nobody", p.UID, p.Manager)
		}
	}
}

func TestWriteCSV(t *testing.T) {
	var file bytes.Buffer
	if err := people.New(1).WriteCSV(&file, 100); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 101 || !reflect.DeepEqual(rows[0], people.CSVHeader()) || !reflect.DeepEqual(rows[100], people.CSVRow(people.New(1).Person(99))) {
		t.Fatalf("%d rows, header %q, last %q", len(rows), rows[0], rows[100])
	}
}

// TestSlapaddTakesTheLDIF lets OpenLDAP's own parser and schema check the entries.
func TestSlapaddTakesTheLDIF(t *testing.T) {
	slapadd, err := exec.LookPath("slapadd")
	if err != nil {
		slapadd = "/usr/sbin/slapadd"
	}
	if _, err := os.Stat(slapadd); err != nil {
		connectorstest.Missing(t, "slapadd is not installed: go run ./.ci/test -install")
	}
	dir := t.TempDir()
	var file bytes.Buffer
	const n = 500
	if err := people.New(1).WriteLDIF(&file, n, "dc=example,dc=com"); err != nil {
		t.Fatal(err)
	}
	perEntry := file.Len() / n
	if perEntry < 1100 || perEntry > 1700 {
		t.Errorf("%d bytes an entry, want about 1,400", perEntry)
	}
	conf := "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n" +
		"modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix dc=example,dc=com\ndirectory " + dir + "\n"
	write(t, filepath.Join(dir, "slapd.conf"), []byte(conf))
	write(t, filepath.Join(dir, "people.ldif"), file.Bytes())
	out, err := exec.Command(slapadd, "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "people.ldif")).CombinedOutput()
	if err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPerson(b *testing.B) {
	b.ReportAllocs()
	p := people.New(1)
	for i := range b.N {
		p.Person(i)
	}
}
