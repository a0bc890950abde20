package people

import (
	"fmt"
	"strings"
)

// Person is one made-up person. Manager is the user name of somebody else of the same seed.
type Person struct {
	UID            string
	ExternalID     string // a UUID
	FullName       string // in the person's own script
	GivenName      string
	Surname        string
	Mail           string
	AlternateMails []string
	Aliases        []string
	Phone          string // "" for about one in eight
	Mobile         string
	Company        string
	Department     string
	Title          string
	EmployeeNumber string
	CostCenter     string
	Cards          []string // 14 hexadecimal digits each; none for about one in twelve
	Groups         []string // paths such as "Staff|Sales"; "\" escapes "," "|" "\" inside a name
	Language       string   // BCP 47
	Street         string
	PostalCode     string
	City           string
	Country        string // ISO 3166, two letters
	Room           string
	Manager        string
	Notes          string
	Password       string // must never come out of a connector
}

// People makes up persons for one seed.
type People struct{ seed uint64 }

// New returns the people of a seed.
func New(seed uint64) People { return People{seed} }

// Person returns the i-th person, i from 0.
func (p People) Person(i int) Person {
	d := p.dice(i)
	c := cultures[d.roll(len(cultures))]
	given, family := c.given[d.roll(len(c.given))], c.family[d.roll(len(c.family))]
	uid := p.uid(i)
	who := Person{
		UID: uid, Language: c.language, Country: c.country,
		GivenName: given.native, Surname: family.native, FullName: c.fullName(given, family),
		Mail:    uid + "@example.com",
		Aliases: []string{given.ascii[:1] + family.ascii + fmt.Sprint(i)},
	}
	if d.roll(4) == 0 {
		who.AlternateMails = []string{given.ascii + "." + uid + "@mail.example.net"}
	}
	p.identify(&who, i, d)
	p.employ(&who, i, d)
	place(&who, c, d)
	return who
}

// List returns the first n persons.
func (p People) List(n int) []Person {
	all := make([]Person, n)
	for i := range all {
		all[i] = p.Person(i)
	}
	return all
}

// uid draws the same names as Person does, so that a manager's user name costs no whole person.
func (p People) uid(i int) string {
	d := p.dice(i)
	c := cultures[d.roll(len(cultures))]
	given, family := c.given[d.roll(len(c.given))], c.family[d.roll(len(c.family))]
	return fmt.Sprintf("%s.%s%d", given.ascii, family.ascii, i)
}

func (p People) identify(who *Person, i int, d *dice) {
	a, b := d.next(), d.next()
	// The index is in the UUID and in the card's last digits: that makes them unique.
	who.ExternalID = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a), uint16(a>>32), (a>>48)&0xfff, b&0xfff, i)
	who.EmployeeNumber = fmt.Sprintf("E%07d", i+1)
	who.Password = "Never-" + uid8(b) + "-seen"
	for n := [12]int{0, 2, 2, 1}[d.roll(12)]; n >= 0 && len(who.Cards) <= n; {
		who.Cards = append(who.Cards, fmt.Sprintf("04%04X%07X%d", uint16(d.next()), i, len(who.Cards)))
	}
	if d.roll(12) == 0 {
		who.Cards = nil
	}
}

func uid8(n uint64) string { return fmt.Sprintf("%08x", uint32(n>>16)) }

func (p People) employ(who *Person, i int, d *dice) {
	department := departments[d.roll(len(departments))]
	who.Company = companies[d.roll(len(companies))]
	who.Department = department.name
	who.Title = department.titles[d.roll(len(department.titles))]
	who.CostCenter = fmt.Sprintf("CC-%d%02d", department.center, d.roll(5))
	who.Manager = p.uid(i / 8)
	who.Groups = []string{"Staff|" + strings.ReplaceAll(department.name, ",", `\,`)}
	if d.roll(3) == 0 {
		who.Groups = append(who.Groups, "Projects|"+projects[d.roll(len(projects))])
	}
	who.Notes = fmt.Sprintf("%s since %d, %s", contracts[d.roll(len(contracts))], 1998+d.roll(28), remarks[d.roll(len(remarks))])
}

func place(who *Person, c culture, d *dice) {
	at := c.cities[d.roll(len(c.cities))]
	who.City, who.PostalCode = at.city, fmt.Sprintf(at.postal, d.roll(90)+10)
	who.Street = fmt.Sprintf(c.street, c.streets[d.roll(len(c.streets))], d.roll(180)+1)
	who.Room = fmt.Sprintf("%c%d.%02d", 'A'+d.roll(6), d.roll(9), d.roll(60)+1)
	if d.roll(8) != 0 {
		who.Phone = fmt.Sprintf("%s %03d %03d %03d", c.dial, d.roll(800)+200, d.roll(1000), d.roll(1000))
	}
	who.Mobile = fmt.Sprintf("%s 7%02d %03d %03d", c.dial, d.roll(100), d.roll(1000), d.roll(1000))
}

func (c culture) fullName(given, family name) string {
	if c.familyFirst {
		return strings.TrimSpace(family.native + c.between + given.native)
	}
	return given.native + " " + family.native
}

// dice is SplitMix64.
type dice struct{ state uint64 }

func (p People) dice(i int) *dice {
	d := &dice{p.seed*0xd1342543de82ef95 + uint64(i)*0x9e3779b97f4a7c15 + 1}
	d.next()
	return d
}

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// roll returns a number from 0 to n-1.
func (d *dice) roll(n int) int { return int(d.next() >> 33 % uint64(n)) }
