package mapping_test

import (
	"fmt"
	"testing"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
)

// typical is an LDAP record with 20 attributes and a mapping of ten properties.
func typical(t testing.TB) (*mapping.Mapping, *connectors.Record) {
	t.Helper()
	from := func(names ...string) mapping.Rule { return mapping.Rule{From: names} }
	m, err := mapping.Compile(mapping.Config{Lowercase: true, Properties: map[string]mapping.Rule{
		"user_name": from("sAMAccountName"), "full_name": from("displayName", "cn"), "email": from("mail"),
		"phone": from("telephoneNumber"), "personal_number": from("employeeID"), "department": from("department"),
		"default_language": from("preferredLanguage"), "custom_1": {Template: "%company%/%l%"},
		"aliases": from("userPrincipalName", "mailNickname"),
		"cards":   {From: []string{"pager"}, Transform: []string{"hex2dec()", "lpad(10,0)"}},
	}, Groups: []mapping.GroupRule{{By: "template", Value: "%department%|%title%", MakeDefault: true}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &connectors.Record{Key: "6f9619ff-8b86-d011-b42d-00cf4fc964ff", Kind: connectors.User, Name: "cn=Alice Novak,ou=Ops,dc=corp,dc=example"}
	add := func(name string, values ...string) {
		r.Attributes = append(r.Attributes, connectors.Attribute{Name: name, Values: values})
	}
	add("c", "CZ")
	add("cn", "Alice Novak")
	add("company", "Corp")
	add("department", "Operations")
	add("displayName", "Alice Novak")
	add("employeeID", "004711")
	add("givenName", "Alice")
	add("l", "Prague")
	add("mail", "alice.novak@corp.example")
	add("mailNickname", "anovak")
	add("memberOf", "cn=Staff,ou=Groups,dc=corp,dc=example", "cn=Ops,ou=Groups,dc=corp,dc=example")
	add("mobile")
	add("pager", "1000AB")
	add("preferredLanguage", "en")
	add("sAMAccountName", "anovak")
	add("sn", "Novak")
	add("telephoneNumber", "+420 123 456 789")
	add("title", "Engineer")
	add("userAccountControl", "512")
	add("userPrincipalName", "alice.novak@corp.example")
	return m, r
}

func BenchmarkApply(b *testing.B) {
	m, r := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Apply(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeChange(b *testing.B) {
	m, r := typical(b)
	c, err := m.Apply(r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mapping.EncodeChange(&c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeChange(b *testing.B) {
	m, r := typical(b)
	c, err := m.Apply(r)
	if err != nil {
		b.Fatal(err)
	}
	data, _ := mapping.EncodeChange(&c)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	var into mapping.Change
	for b.Loop() {
		if err := mapping.DecodeChange(data, &into); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleMapping_Trace() {
	m, err := mapping.Compile(mapping.Config{Properties: map[string]mapping.Rule{
		"user_name": {From: []string{"uid"}},
		"cards":     {From: []string{"pager"}, Transform: []string{"hex2dec()", "lpad(10,0)"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	steps, _ := m.Trace(33, " 1000ab")
	for _, s := range steps {
		fmt.Printf("%s: %q%s\n", s.Name, s.Value, s.Note)
	}
	// Output:
	// value: " 1000ab"
	// trim: "1000ab"
	// hex2dec(): "1048747"
	// lpad(10,0): "0001048747"
	// form: "0001048747"
}
