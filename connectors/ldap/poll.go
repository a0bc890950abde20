package ldap

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// poll finds changes by the time that each entry carries, and who is gone by reading everybody's key.
type poll struct{}

// pollOverlap is how much older than the newest one a change may be that is not seen yet: servers of one directory have clocks of
// their own, and a change becomes visible after it was stamped. Whatever comes again is no change.
const pollOverlap = 2 * time.Minute

func (poll) offered(p *pass, root *ldap.Entry) (string, error) {
	if p.vendor(root) == "active-directory" {
		return "Active Directory cannot search for modifyTimestamp", nil
	}
	if !p.uniqueKey() {
		return fmt.Sprintf("the server does not see to it that no two entries have one %s", p.config.key()), nil
	}
	_, reason, err := p.clock()
	if err != nil {
		return refused(err)
	}
	return reason, nil
}

func (poll) whole(p *pass, c *checkpoint) error {
	attribute, reason, err := p.clock()
	if err != nil {
		return err
	}
	if reason != "" {
		return fmt.Errorf("%w: %s", connectors.ErrScope, reason)
	}
	c.Attribute, p.decoder.clock = attribute, attribute
	err = p.readPages()
	c.Clock = p.decoder.newest
	return err
}

func (poll) changes(p *pass, c *checkpoint) (bool, error) {
	p.decoder.clock = c.Attribute
	newer := fmt.Sprintf("(%s>=%s)", c.Attribute, stamp(c.Attribute, c.Clock.Add(-pollOverlap)))
	if err := p.scanBases(); err != nil {
		return false, err
	}
	for _, base := range p.config.bases() {
		if err := p.readMatching(base, "(&"+p.filter+newer+")"); err != nil {
			return false, err
		}
		found, err := p.ask(base, ldap.ScopeWholeSubtree, "(&"+containers+newer+")", []string{"1.1"})
		if err != nil {
			return false, err
		}
		var moved []string
		for _, e := range found.Entries {
			if !p.holdsBase(e.DN) {
				moved = append(moved, e.DN)
			}
		}
		for _, dn := range topmost(moved) {
			if err := p.readBase(dn); err != nil {
				return false, err
			}
		}
	}
	if p.decoder.newest.After(c.Clock) {
		c.Clock = p.decoder.newest
	}
	return true, nil
}

// clock finds the attribute that tells when an entry changed: one that the server finds entries by.
func (p *pass) clock() (attribute, reason string, err error) {
	base := p.config.bases()[0]
	found, err := p.ask(base, ldap.ScopeBaseObject, "(objectClass=*)", []string{"entryCSN", "modifyTimestamp"})
	if err != nil || len(found.Entries) == 0 {
		return "", "the server does not show " + base, err
	}
	for _, name := range []string{"entryCSN", "modifyTimestamp"} {
		at, ok := changeTime(found.Entries[0].GetEqualFoldAttributeValue(name))
		if !ok {
			continue
		}
		since, err := p.ask(base, ldap.ScopeBaseObject, fmt.Sprintf("(%s>=%s)", name, stamp(name, at.Add(-time.Second))), []string{"1.1"})
		if err != nil {
			return "", "", err
		}
		later, err := p.ask(base, ldap.ScopeBaseObject, fmt.Sprintf("(%s>=%s)", name, stamp(name, at.AddDate(1, 0, 0))), []string{"1.1"})
		if err != nil {
			return "", "", err
		}
		if len(since.Entries) == 1 && len(later.Entries) == 0 {
			return name, "", nil
		}
	}
	return "", "entries carry no time of their last change that the server can search for", nil
}

// changeTime reads an entryCSN or a generalized time.
func changeTime(value string) (time.Time, bool) {
	at, _, _ := strings.Cut(value, "#")
	t, err := time.Parse(time.RFC3339Nano, formatGeneralTime(at))
	return t, err == nil
}

// stamp writes a time as a value of the attribute.
func stamp(attribute string, t time.Time) string {
	if t = t.UTC(); t.Year() < 1970 {
		t = time.Unix(0, 0).UTC()
	}
	if attribute == "entryCSN" {
		return t.Format("20060102150405.000000Z") + "#000000#000#000000"
	}
	return t.Format("20060102150405Z")
}

// scanBases tells of everybody in the scope that he is there. It comes before the changes: who came meanwhile is among them.
func (p *pass) scanBases() error {
	for _, base := range p.config.bases() {
		if err := p.scan(base); err != nil {
			return err
		}
	}
	return nil
}

// scan tells of everybody under a base that he is there.
func (p *pass) scan(base string) error {
	d := newDecoder(p.config.key(), nil, false, p.decoder.now)
	var r connectors.Record
	return p.eachPage(base, p.filter, []string{p.config.key()}, p.localOnly(), &sink{reference: p.reference, entry: func(content []byte) error {
		p.taken++
		if err := d.decode(content, &r); err != nil {
			return err
		}
		if r.Key == "" {
			return &emitError{d.keyless(r.Name)}
		}
		return p.tell(connectors.Sighting(r.Key, connectors.User))
	}})
}
