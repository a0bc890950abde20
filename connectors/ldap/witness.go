package ldap

import (
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// witness is an entry and the number of its last change. A server that was restored and written to since counts on from where it should, but shows
// such an entry as it was before. One that is gone says nothing: it may have been deleted.
type witness struct {
	ID  string `json:"id"`
	CSN string `json:"csn"`
}

// callWitnesses notes the entries of the last changes that the cookies stand for. After a deletion there is none, and the one before remains.
func (p *pass) callWitnesses(c *checkpoint) error {
	if c.Vendor != "openldap" {
		return nil
	}
	for base, context := range c.Contexts {
		newest := slices.Max(append(csnsOf(string(c.Cookies[base])), ""))
		if context == "" || newest <= c.Witnesses[context].CSN {
			continue
		}
		found, err := p.ask(context, ldap.ScopeWholeSubtree, "(entryCSN="+ldap.EscapeFilter(newest)+")", []string{"entryUUID"})
		if err != nil {
			return err
		}
		if len(found.Entries) == 0 {
			continue
		}
		if c.Witnesses == nil {
			c.Witnesses = map[string]witness{}
		}
		c.Witnesses[context] = witness{found.Entries[0].GetAttributeValue("entryUUID"), newest}
	}
	return nil
}

// hear asks for a whole run when the server shows the witness as it was before.
func (p *pass) hear(context string, w witness) error {
	if w.ID == "" {
		return nil
	}
	found, err := p.ask(context, ldap.ScopeWholeSubtree, fmt.Sprintf("(entryUUID=%s)", ldap.EscapeFilter(w.ID)), []string{"entryCSN"})
	if err != nil || len(found.Entries) == 0 {
		return err
	}
	if csn := found.Entries[0].GetAttributeValue("entryCSN"); csn != "" && csn < w.CSN {
		return errExpired("%s shows %s as it was before: it was restored", p.session.server, found.Entries[0].DN)
	}
	return nil
}
