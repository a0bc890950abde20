package ldap

import (
	"errors"
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
	if _, err := p.position(); err != nil {
		return refused(err)
	}
	return refused(p.lookForTombstones(p.contexts(root)))
}

func (usn) whole(p *pass, c *checkpoint) error {
	now, err := p.position()
	if err != nil {
		return err
	}
	c.Service, c.Invocation, c.USN = now.service, now.invocation, now.last
	return p.readPages()
}

func (usn) changes(p *pass, c *checkpoint) (bool, error) {
	now, err := p.position() // before the search: what changes meanwhile is told again
	if err != nil {
		return false, err
	}
	if err := now.follows(p.session.server, c); err != nil {
		return false, err
	}
	if err := p.scanWhereBlind(c); err != nil {
		return false, err
	}
	if now.last == c.USN {
		return c.Scan, nil
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
	c.USN = now.last
	return c.Scan, nil
}

// showDeleted is LDAP_SERVER_SHOW_DELETED_OID: tombstones too, please (MS-ADTS 3.1.1.3.4.1.14).
const showDeleted = "1.2.840.113556.1.4.417"

// position is where a domain controller stands: its name in the directory, the id of its database, and the number of its last change.
type position struct {
	service, invocation string
	last                int64
}

func (p *pass) position() (now position, err error) {
	root, err := p.readRoot()
	if err != nil {
		return now, p.session.say(err, "ask for the last change")
	}
	now.service = root.GetAttributeValue("dsServiceName")
	now.last, err = strconv.ParseInt(root.GetAttributeValue("highestCommittedUSN"), 10, 64)
	if err != nil {
		return now, fmt.Errorf("%w: %s: highestCommittedUSN: %w", connectors.ErrIncomplete, p.session.server, err)
	}
	found, err := p.ask(now.service, ldap.ScopeBaseObject, "(objectClass=*)", []string{"invocationId"})
	if err != nil {
		return now, err
	}
	if len(found.Entries) != 1 || len(found.Entries[0].GetRawAttributeValue("invocationId")) != 16 {
		return now, fmt.Errorf("%w: %s: %s has no invocationId that the account may see", connectors.ErrScope, p.session.server, now.service)
	}
	now.invocation = formatGUID(string(found.Entries[0].GetRawAttributeValue("invocationId")), true)
	return now, nil
}

// follows asks for a whole run when the database is not the one that the checkpoint is of, or an older state of it.
func (now position) follows(server string, c *checkpoint) error {
	if now.invocation != c.Invocation {
		return errExpired("%s is another domain controller, or was restored", server)
	}
	if now.last < c.USN {
		return errExpired("%s counts changes up to %d, the checkpoint up to %d: it was restored", server, now.last, c.USN)
	}
	return nil
}

// lookForTombstones finds out whether the account may see who is deleted: an ordinary one sees the folder and nothing in it, and no search
// says so. A folder that is empty looks the same.
func (p *pass) lookForTombstones(contexts []string) error {
	p.blind = false
	for _, context := range contexts {
		request := ldap.NewSearchRequest("CN=Deleted Objects,"+context, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"},
			[]ldap.Control{ldap.NewControlString(showDeleted, true, "")})
		found, err := p.search(request, nil)
		switch {
		case errors.Is(err, errLimit): // there are more
		case errors.Is(err, connectors.ErrScope), errors.Is(err, connectors.ErrDenied), err == nil && len(found.Entries) == 0:
			p.blind = true
		case err != nil:
			return err
		}
	}
	return nil
}

// scanWhereBlind tells of everybody that he is there, where the account may not see who is deleted.
func (p *pass) scanWhereBlind(c *checkpoint) error {
	if !c.Scan {
		if err := p.lookForTombstones(distinct(c.Contexts)); err != nil {
			return err
		}
		c.Scan = p.blind
	}
	if !c.Scan {
		return nil
	}
	return p.scanBases()
}
