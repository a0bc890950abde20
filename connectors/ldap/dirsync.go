package ldap

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// dirsync finds changes by Active Directory's DirSync control (MS-ADTS 3.1.1.3.4.1.3), with the flag that lets an ordinary
// account use it. What it mentions is read: it tells only what of an entry changed, leaves deletions out where a filter asks for what
// tombstones have lost, and says nothing of those below a renamed container.
type dirsync struct{}

func (dirsync) offered(p *pass, root *ldap.Entry) (string, error) {
	if reason := lacks(root, ldap.ControlTypeDirSync, "the DirSync control"); reason != "" {
		return reason, nil
	}
	if reason := p.lacksGUID(root); reason != "" {
		return reason, nil
	}
	for _, context := range p.contexts(root) {
		if _, err := p.dirsync(context, nothing, nil, nil); err != nil {
			return refused(err)
		}
	}
	return refused(p.lookForTombstones(p.contexts(root)))
}

func (dirsync) whole(p *pass, c *checkpoint) (err error) {
	contexts := distinct(c.Contexts)
	if c.Domain, err = p.domain(contexts); err != nil {
		return err
	}
	if err := p.sameDatabase(c); err != nil {
		return err
	}
	for _, context := range contexts {
		cookie, err := p.dirsync(context, nothing, nil, nil)
		if err != nil {
			return err
		}
		c.Cookies[context] = cookie
	}
	return p.readPages()
}

func (dirsync) changes(p *pass, c *checkpoint) (bool, error) {
	contexts := distinct(c.Contexts)
	domain, err := p.domain(contexts)
	if err != nil {
		return false, err
	}
	if domain != c.Domain {
		return false, errExpired("%s holds another domain of that name", p.session.server)
	}
	if err := p.sameDatabase(c); err != nil {
		return false, err
	}
	if err := p.scanWhereBlind(c); err != nil {
		return false, err
	}
	for _, context := range contexts {
		if len(c.Cookies[context]) == 0 {
			return false, errExpired("the cookie of %s is missing", context)
		}
		var keys []string
		cookie, err := p.dirsync(context, "(objectClass=*)", c.Cookies[context], func(key string) { keys = append(keys, key) })
		if err != nil {
			return false, err
		}
		c.Cookies[context] = cookie
		if err := p.reread(context, keys); err != nil {
			return false, err
		}
	}
	return c.Scan, nil
}

// domain returns the ids of the naming contexts: a cookie of another forest is taken by a server without a word.
func (p *pass) domain(contexts []string) (string, error) {
	var ids []string
	for _, context := range contexts {
		found, err := p.ask(context, ldap.ScopeBaseObject, "(objectClass=*)", []string{"objectGUID"})
		if err != nil {
			return "", err
		}
		if len(found.Entries) != 1 || len(found.Entries[0].GetRawAttributeValue("objectGUID")) != 16 {
			return "", fmt.Errorf("%w: %s: %s has no objectGUID that the account may see", connectors.ErrScope, p.session.server, context)
		}
		ids = append(ids, formatGUID(string(found.Entries[0].GetRawAttributeValue("objectGUID")), true))
	}
	return strings.Join(ids, " "), nil
}

// sameDatabase asks for a whole run when the domain controller that was read last was restored since, and notes where it stands. The cookie is
// good for every controller of the domain, so that another one is none of its business.
func (p *pass) sameDatabase(c *checkpoint) error {
	now, err := p.position()
	if errors.Is(err, connectors.ErrScope) || errors.Is(err, connectors.ErrDenied) { // the account may not see it
		c.Service = ""
		return nil
	}
	if err != nil {
		return err
	}
	if c.Service == now.service {
		if err := now.follows(p.session.server, c); err != nil {
			return err
		}
	}
	c.Service, c.Invocation, c.USN = now.service, now.invocation, now.last
	return nil
}

// nothing is a filter that no entry matches: DirSync's cookie stands for the directory, whatever is asked for.
const nothing = "(!(objectClass=*))"

// lacksGUID is the sentence for a source whose key is not what a tombstone keeps, "" for one that can be followed.
func (p *pass) lacksGUID(root *ldap.Entry) string {
	if !strings.EqualFold(p.config.key(), "objectGUID") {
		return fmt.Sprintf("it tells deletions by objectGUID, and the key is %s", p.config.key())
	}
	for _, base := range p.config.bases() {
		if contextOf(root, base) == "" {
			return "the server names no naming context that holds " + base
		}
	}
	return ""
}

// contexts are the naming contexts of the bases.
func (p *pass) contexts(root *ldap.Entry) []string {
	all := map[string]string{}
	for _, base := range p.config.bases() {
		all[base] = contextOf(root, base)
	}
	return distinct(all)
}

// distinct are the values of a map, sorted, each once.
func distinct(m map[string]string) []string {
	var list []string
	for _, value := range m {
		list = append(list, value)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// dirsyncBytes is how much a round may return.
const dirsyncBytes = 1 << 20

// dirsync tells the keys of what changed since the cookie, round by round, and returns the next cookie.
func (p *pass) dirsync(context, filter string, cookie []byte, changed func(key string)) ([]byte, error) {
	d := newDecoder("objectGUID", nil, false, p.decoder.now)
	var r connectors.Record
	came := 0
	take := func(content []byte) error {
		came++
		if err := d.decode(content, &r); err != nil {
			return err
		}
		if r.Key != "" && changed != nil {
			changed(strings.Clone(r.Key))
		}
		return nil
	}
	for since := cookie; ; {
		request := ldap.NewSearchRequest(context, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, p.followed(),
			[]ldap.Control{ldap.NewRequestControlDirSync(ldap.DirSyncObjectSecurity, dirsyncBytes, since)})
		came = 0
		result, err := p.search(request, &sink{entry: take, reference: p.reference})
		if err != nil {
			return nil, forgotten(err, since)
		}
		control, ok := ldap.FindControl(result.Controls, ldap.ControlTypeDirSync).(*ldap.ControlDirSync)
		if !ok || len(control.Cookie) == 0 {
			return nil, fmt.Errorf("%w: %s: DirSync of %s ended without its cookie", connectors.ErrIncomplete, p.session.server, context)
		}
		if control.Flags == 0 {
			return control.Cookie, nil
		}
		if came == 0 && bytes.Equal(control.Cookie, since) {
			return nil, fmt.Errorf("%w: %s: DirSync of %s goes round in a circle", connectors.ErrIncomplete, p.session.server, context)
		}
		since = control.Cookie
	}
}

// forgotten turns the refusal of a cookie into a request for a whole run.
func forgotten(err error, cookie []byte) error {
	if len(cookie) == 0 {
		return err
	}
	switch resultCode(err) {
	case ldap.LDAPResultUnavailableCriticalExtension, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultProtocolError, ldap.LDAPResultOperationsError:
		return errExpired("%w", err)
	}
	return err
}

// filterAttribute finds the attributes of a filter.
var filterAttribute = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)(:[^=()]*)?[~<>]?=`)

// followed are the attributes whose changes are of interest: those of the record, those of the filter, and an entry's name and end.
func (s *source) followed() []string {
	if s.all() {
		return nil
	}
	names := append(s.requested(), "name", "isDeleted", "objectGUID")
	for _, found := range filterAttribute.FindAllStringSubmatch(s.filter, -1) {
		names = append(names, found[1])
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(names, strings.EqualFold)
}
