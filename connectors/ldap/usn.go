package ldap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// usn finds changes by uSNChanged (MS-ADTS 3.1.1.5): a domain controller numbers them, each for itself. What has a newer number is read.
type usn struct{}

func (usn) offered(p *pass, root *ldap.Entry) (string, error) {
	if root.GetAttributeValue("highestCommittedUSN") == "" || root.GetAttributeValue("dsServiceName") == "" {
		return "the server does not number its changes as Active Directory does", nil
	}
	if reason := p.lacksGUID(root); reason != "" {
		return reason, nil
	}
	if _, _, err := p.position(); err != nil {
		return refused(err)
	}
	return "", nil
}

func (usn) whole(p *pass, c *checkpoint) (err error) {
	if c.Invocation, c.USN, err = p.position(); err != nil {
		return err
	}
	return p.readPages()
}

func (usn) changes(p *pass, c *checkpoint) (bool, error) {
	invocation, last, err := p.position() // before the search: what changes meanwhile is told again
	if err != nil {
		return false, err
	}
	if invocation != c.Invocation {
		return false, errExpired("%s is another domain controller, or was restored", p.session.server)
	}
	if last < c.USN {
		return false, errExpired("%s counts changes up to %d, the checkpoint up to %d", p.session.server, last, c.USN)
	}
	if last == c.USN {
		return false, nil
	}
	filter := fmt.Sprintf("(uSNChanged>=%d)", c.USN+1)
	d := newDecoder("objectGUID", nil, false, p.decoder.now)
	for _, context := range distinct(c.Contexts) {
		var keys []string
		var r connectors.Record
		to := &sink{reference: p.reference, entry: func(content []byte) error {
			p.taken++
			if err := d.decode(content, &r); err == nil && r.Key != "" {
				keys = append(keys, strings.Clone(r.Key))
			} else if err != nil {
				return err
			}
			return nil
		}}
		if err := p.eachPage(context, filter, []string{"objectGUID"}, append(p.localOnly(), ldap.NewControlString(showDeleted, true, "")), to); err != nil {
			return false, err
		}
		if err := p.reread(context, keys); err != nil {
			return false, err
		}
	}
	c.USN = last
	return false, nil
}

// showDeleted is LDAP_SERVER_SHOW_DELETED_OID: tombstones too, please (MS-ADTS 3.1.1.3.4.1.14).
const showDeleted = "1.2.840.113556.1.4.417"

// position returns the id of the domain controller's database and the number of its last change.
func (p *pass) position() (invocation string, last int64, err error) {
	root, err := readRoot(p.session.conn)
	if err != nil {
		return "", 0, p.session.say(err, "ask for the last change")
	}
	last, err = strconv.ParseInt(root.GetAttributeValue("highestCommittedUSN"), 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s: highestCommittedUSN: %w", connectors.ErrIncomplete, p.session.server, err)
	}
	settings := root.GetAttributeValue("dsServiceName")
	found, err := p.ask(settings, ldap.ScopeBaseObject, "(objectClass=*)", []string{"invocationId"})
	if err != nil {
		return "", 0, err
	}
	if len(found.Entries) != 1 || len(found.Entries[0].GetRawAttributeValue("invocationId")) != 16 {
		return "", 0, fmt.Errorf("%w: %s: %s has no invocationId that the account may see", connectors.ErrScope, p.session.server, settings)
	}
	return formatGUID(string(found.Entries[0].GetRawAttributeValue("invocationId")), true), last, nil
}
