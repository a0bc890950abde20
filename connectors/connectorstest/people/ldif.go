package people

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// Attribute is an LDAP attribute with its values.
type Attribute struct {
	Name   string
	Values []string
}

// WriteLDIF writes the suffix (dc=… or o=…), ou=people below it and the first n persons as
// inetOrgPerson entries, ready for slapadd with the schemas core, cosine and inetorgperson.
func (p People) WriteLDIF(w io.Writer, n int, suffix string) error {
	out := bufio.NewWriterSize(w, 1<<16)
	for _, e := range roots(suffix) {
		writeEntry(out, e.dn, e.attributes)
	}
	for i := range n {
		dn, attributes := InetOrgPerson(p.Person(i), suffix)
		writeEntry(out, dn, attributes)
	}
	return out.Flush()
}

// InetOrgPerson returns the person's entry under ou=people,<suffix>: object classes first, only
// attributes that have values.
func InetOrgPerson(p Person, suffix string) (dn string, attributes []Attribute) {
	base := "ou=people," + suffix
	all := []Attribute{
		{"objectClass", []string{"top", "person", "organizationalPerson", "inetOrgPerson"}},
		{"uid", append([]string{p.UID}, p.Aliases...)},
		{"cn", []string{p.FullName}},
		{"sn", []string{p.Surname}},
		{"givenName", []string{p.GivenName}},
		{"displayName", []string{p.FullName}},
		{"mail", append([]string{p.Mail}, p.AlternateMails...)},
		{"telephoneNumber", some(p.Phone)},
		{"mobile", some(p.Mobile)},
		{"pager", p.Cards},
		{"o", some(p.Company)},
		{"ou", some(p.Department)},
		{"departmentNumber", some(p.CostCenter)},
		{"title", some(p.Title)},
		{"employeeNumber", some(p.EmployeeNumber)},
		{"preferredLanguage", some(p.Language)},
		{"street", some(p.Street)},
		{"postalCode", some(p.PostalCode)},
		{"l", some(p.City)},
		{"postalAddress", some(p.FullName + "$" + p.Street + "$" + p.PostalCode + " " + p.City + "$" + p.Country)},
		{"registeredAddress", some(p.Company + "$Registry, building " + p.Room + "$" + p.PostalCode + " " + p.City)},
		{"physicalDeliveryOfficeName", some(p.City + " " + p.Room)},
		{"roomNumber", some(p.Room)},
		{"businessCategory", some(p.Department + " / " + p.Title)},
		{"manager", some("uid=" + p.Manager + "," + base)},
		{"labeledURI", some("https://intranet.example.com/people/" + p.ExternalID + " profile of " + p.UID)},
		{"description", some(p.Notes)},
		{"userPassword", some(p.Password)},
	}
	for _, a := range all {
		if len(a.Values) > 0 {
			attributes = append(attributes, a)
		}
	}
	return "uid=" + p.UID + "," + base, attributes
}

func some(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

type entry struct {
	dn         string
	attributes []Attribute
}

func roots(suffix string) []entry {
	rdn, _, _ := strings.Cut(suffix, ",")
	kind, value, _ := strings.Cut(rdn, "=")
	top := []Attribute{{"objectClass", []string{"top", "organization"}}, {"o", []string{value}}}
	if strings.EqualFold(kind, "dc") {
		top = []Attribute{{"objectClass", []string{"top", "dcObject", "organization"}}, {"dc", []string{value}}, {"o", []string{value}}}
	}
	return []entry{
		{suffix, top},
		{"ou=people," + suffix, []Attribute{{"objectClass", []string{"top", "organizationalUnit"}}, {"ou", []string{"people"}}}},
	}
}

// writeEntry leaves errors to the writer, which keeps the first one.
func writeEntry(w *bufio.Writer, dn string, attributes []Attribute) {
	writeLine(w, "dn", dn)
	for _, a := range attributes {
		for _, v := range a.Values {
			writeLine(w, a.Name, v)
		}
	}
	fmt.Fprintln(w)
}

// writeLine writes what is not a SAFE-STRING of RFC 2849 in base64.
func writeLine(w *bufio.Writer, name, value string) {
	unsafe := value == "" || strings.ContainsAny(value[:1], " :<") || strings.HasSuffix(value, " ") ||
		strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 || r == 0 || r == '\n' || r == '\r' })
	if unsafe {
		fmt.Fprintf(w, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
		return
	}
	fmt.Fprintf(w, "%s: %s\n", name, value)
}
