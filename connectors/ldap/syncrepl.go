package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// syncrepl finds changes by content synchronization (RFC 4533) in the mode refreshOnly.
type syncrepl struct{}

func (syncrepl) offered(p *pass, root *ldap.Entry) (string, error) {
	if reason := lacks(root, ldap.ControlTypeSyncRequest, "content synchronization (RFC 4533)"); reason != "" {
		return reason, nil
	}
	vendor := p.vendor(root)
	if vendor != "openldap" && vendor != "389ds" {
		return "it is tried with OpenLDAP and 389 Directory Server only, whose cookies differ", nil
	}
	if want := syncKey(vendor); !strings.EqualFold(p.config.key(), want) {
		return fmt.Sprintf("it tells deletions by %s, and the key is %s", want, p.config.key()), nil
	}
	for _, base := range p.config.bases() {
		cookie, err := p.probe(base)
		if err != nil {
			return refused(err)
		}
		if !keepable(cookie) {
			return "the server gives no cookie for " + base, nil
		}
	}
	return "", nil
}

// whole reads everything in pages, with the cookie of the moment before.
func (syncrepl) whole(p *pass, c *checkpoint) error {
	for _, base := range p.config.bases() {
		cookie, err := p.probe(base)
		if err != nil {
			return err
		}
		if !keepable(cookie) {
			return fmt.Errorf("%w: %s: no cookie for %s", connectors.ErrIncomplete, p.session.server, base)
		}
		c.Cookies[base] = []byte(cookie)
		if c.Vendor == "openldap" { // its cookie is the database's, whatever is searched for
			c.Cookies[containersOf(base)] = []byte(cookie)
		}
	}
	if err := p.callWitnesses(c); err != nil {
		return err
	}
	return p.readPages()
}

func (syncrepl) changes(p *pass, c *checkpoint) (bool, error) {
	if c.Vendor == "389ds" {
		return false, p.refresh389(c)
	}
	if err := p.trust(c); err != nil {
		return false, err
	}
	var all changes
	whole := 0
	for _, base := range p.config.bases() {
		present, err := p.refreshBase(c, base, &all)
		if err != nil {
			return false, err
		}
		if present {
			whole++
		}
	}
	if whole > 0 && whole < len(p.config.bases()) {
		return false, errExpired("%s tells of some bases who is gone and of others who is there", p.session.server)
	}
	if err := all.finish(p); err != nil {
		return false, err
	}
	return whole > 0, p.callWitnesses(c)
}

// refresh389 reads what changed on a 389 Directory Server. It leaves operational attributes out, and says nothing of an entry that
// leaves the filter: so that it is asked about all entries, and those that it mentions are read.
func (p *pass) refresh389(c *checkpoint) error {
	for _, base := range p.config.bases() {
		var keys []string
		note := func(key string) error { keys = append(keys, key); return nil }
		r := &refresh{pass: p, base: base, filter: "(objectClass=*)", attributes: []string{"1.1"}, cookie: string(c.Cookies[base]), vendor: c.Vendor, gone: note,
			changed: func([]byte) error { return note(p.key) }}
		if _, err := r.run(); err != nil {
			return err
		}
		if err := p.reread(c.Contexts[base], keys); err != nil {
			return err
		}
		c.Cookies[base] = []byte(r.next)
	}
	return nil
}

// syncKey is the attribute whose bytes are the ids of a refresh.
func syncKey(vendor string) string {
	if vendor == "389ds" {
		return "nsUniqueId"
	}
	return "entryUUID"
}

// keyOf writes an id of a refresh as the key's text.
func (p *pass) keyOf(uuid string) string {
	text := formatGUID(uuid, false)
	if strings.EqualFold(p.config.key(), "nsUniqueId") {
		return text[:8] + "-" + text[9:13] + text[14:18] + "-" + text[19:23] + text[24:28] + "-" + text[28:]
	}
	return text
}

// probe makes a refresh of the base's own entry, which costs nothing and returns the cookie of this moment: OpenLDAP's is that of the
// database, and 389 Directory Server's names base and filter but no scope.
func (p *pass) probe(base string) (cookie string, err error) {
	request := ldap.NewSearchRequest(base, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"1.1"},
		[]ldap.Control{ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshOnly, nil, false)})
	ignore := func([]byte) error { return nil }
	result, err := p.search(request, &sink{entry: ignore, reference: ignore, intermediate: ignore})
	if err != nil {
		return "", err
	}
	done, ok := ldap.FindControl(result.Controls, ldap.ControlTypeSyncDone).(*ldap.ControlSyncDone)
	if !ok {
		return "", fmt.Errorf("%w: %s: a refresh of %s ended without its cookie", connectors.ErrIncomplete, p.session.server, base)
	}
	return string(done.Cookie), nil
}

// containersOf names the cookie of the containers under a base.
func containersOf(base string) string { return "containers under " + base }

// refreshBase reads what changed under a base. present is true when the server told who is there and not who is gone.
func (p *pass) refreshBase(c *checkpoint, base string, all *changes) (present bool, err error) {
	begun, err := p.settled(string(c.Cookies[base]), base)
	if err != nil {
		return false, err
	}
	var moved, vanished []string
	of := &refresh{pass: p, base: base, filter: containers, attributes: []string{"1.1"}, cookie: string(c.Cookies[containersOf(base)]), vendor: c.Vendor,
		changed: func(content []byte) error {
			dn, err := parseEntry(string(content), func(string, string) error { return nil })
			if normalDN(dn) != normalDN(base) {
				moved = append(moved, dn)
			}
			return err
		},
		gone: func(key string) error { vanished = append(vanished, key); return nil },
	}
	tellsPresent, err := of.run()
	if err != nil {
		return false, err
	}
	r := &refresh{pass: p, base: base, filter: p.filter, attributes: p.requested(), cookie: string(c.Cookies[base]), vendor: c.Vendor,
		changed: p.entry, gone: all.goneKey,
		present: func(key string) error { return p.tell(connectors.Sighting(key, connectors.User)) }}
	p.told = all.told()
	if present, err = r.run(); err != nil {
		return false, err
	}
	if tellsPresent && !present {
		return false, errExpired("%s does not tell which containers under %s are gone", p.session.server, base)
	}
	if err := p.stillSomewhere(c.Contexts[base], vanished); err != nil {
		return false, err
	}
	for _, dn := range topmost(moved) {
		if err := p.readBase(dn); err != nil {
			return false, fmt.Errorf("read the entries below %s, which may have moved: %w", dn, err)
		}
	}
	c.Cookies[containersOf(base)], c.Cookies[base] = []byte(begun), []byte(begun)
	return present, nil
}

// settleTime is how long slapd may take from announcing a change to telling of it: a refresh in the middle of writing was seen to leave
// a deletion out and to return a cookie that is past it.
const settleTime = 50 * time.Millisecond

// settled returns the cookie of this moment, from which the next refresh begins, and waits until a refresh finds all that is before it.
func (p *pass) settled(last, base string) (string, error) {
	now, err := p.probe(base)
	if err != nil || !keepable(now) || now == last {
		return last, err
	}
	if p.hurried {
		return now, nil
	}
	select {
	case <-time.After(settleTime):
		return now, nil
	case <-p.session.ctx.Done():
		return "", context.Cause(p.session.ctx)
	}
}

// stillSomewhere asks for a whole run when a container left the scope together with all that is below it.
func (p *pass) stillSomewhere(context string, keys []string) error {
	if context == "" && len(keys) > 0 {
		return errExpired("%s names no naming context to look for vanished containers in", p.session.server)
	}
	for chunk := range slices.Chunk(keys, presentChunk) {
		found, err := p.ask(context, ldap.ScopeWholeSubtree, "(&"+containers+p.keyFilter(chunk)+")", []string{"1.1"})
		if err != nil {
			return err
		}
		if len(found.Entries) > 0 {
			return errExpired("%s left the scope with all that is below it", found.Entries[0].DN)
		}
	}
	return nil
}

// refresh is one refresh stage of RFC 4533.
type refresh struct {
	*pass
	base, filter string
	attributes   []string
	cookie       string // where it begins
	vendor       string

	changed       func(content []byte) error
	present, gone func(key string) error

	next      string // where the next one begins
	mentioned bool   // somebody was said to be there
	presence  bool   // a present phase ended
}

// run makes the refresh. It is true when whoever was not mentioned is gone.
func (r *refresh) run() (present bool, err error) {
	request := ldap.NewSearchRequest(r.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, r.filter, r.attributes,
		[]ldap.Control{ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshOnly, []byte(r.cookie), false)})
	result, err := r.search(request, &sink{stated: r.entry, intermediate: r.info, reference: r.reference})
	if err != nil {
		if resultCode(err) == ldap.LDAPResultUnwillingToPerform && r.cookie != "" { // "consumer state is newer than provider"
			err = errExpired("%w", err)
		}
		return false, err
	}
	done, ok := ldap.FindControl(result.Controls, ldap.ControlTypeSyncDone).(*ldap.ControlSyncDone)
	if !ok {
		return false, fmt.Errorf("%w: %s: the refresh of %s ended without the Sync Done Control", connectors.ErrIncomplete, r.session.server, r.base)
	}
	if err := r.completePartial(); err != nil {
		return false, err
	}
	if r.next = r.cookie; keepable(string(done.Cookie)) {
		r.next = string(done.Cookie)
	}
	return r.isPresent(done.RefreshDeletes)
}

// keepable reports whether a cookie may be gone on from. An empty one means that the last still holds, and one with a
// delcsn is OpenLDAP's private mark within a refresh.
func keepable(cookie string) bool { return cookie != "" && !strings.Contains(cookie, "delcsn=") }

// isPresent says what it means not to have been mentioned. OpenLDAP keeps to RFC 4533, 3.3: without refreshDeletes whoever
// was not mentioned is gone. 389 Directory Server never sends it, and mentions only what changed.
func (r *refresh) isPresent(refreshDeletes bool) (bool, error) {
	switch {
	case r.cookie == "":
		return false, errExpired("the cookie is missing")
	case r.presence:
		return true, nil
	case r.vendor == "389ds" && r.mentioned:
		return false, errExpired("%s tells who is there, which this type of server does not do", r.session.server)
	case r.vendor == "389ds":
		return false, nil
	}
	return !refreshDeletes, nil
}

// entry takes an entry with its state.
func (r *refresh) entry(content, controls []byte) error {
	s, err := parseSyncState(controls)
	if err != nil {
		return err
	}
	switch {
	case s.state == ldap.SyncStateDelete:
		return r.say(r.gone, s.uuid)
	case s.state == ldap.SyncStatePresent:
		r.mentioned = true
		return r.say(r.present, s.uuid)
	case r.changed != nil:
		r.key = r.keyOf(s.uuid)
		return r.changed(content)
	}
	return nil
}

// info takes what comes between the entries.
func (r *refresh) info(content []byte) error {
	info, ok, err := parseSyncInfo(content)
	if err != nil || !ok {
		return err
	}
	switch info.kind {
	case infoRefreshPresent:
		r.presence = true
	case infoIDSet:
		to := r.present
		if info.flag {
			to = r.gone
		} else {
			r.mentioned = true
		}
		for _, id := range info.ids {
			if err := r.say(to, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *refresh) say(to func(key string) error, uuid string) error {
	if to == nil {
		return nil
	}
	return to(r.keyOf(uuid))
}

// trust asks for a whole run when an OpenLDAP server cannot go on from the cookies: it was restored, lags behind, or has learned of
// another server's changes since. It would answer with everything and not say who is gone.
func (p *pass) trust(c *checkpoint) error {
	if c.Vendor != "openldap" {
		return nil
	}
	for _, base := range p.config.bases() {
		if c.Contexts[base] == "" {
			continue
		}
		now, err := p.contextCSN(c.Contexts[base])
		if err != nil {
			return err
		}
		for _, name := range []string{base, containersOf(base)} {
			if err := goesOn(csnsOf(string(c.Cookies[name])), now); err != nil {
				return err
			}
		}
		if err := p.speaksUp(c.Contexts[base], now); err != nil {
			return err
		}
		if err := p.hear(c.Contexts[base], c.Witnesses[c.Contexts[base]]); err != nil {
			return err
		}
	}
	return nil
}

// contextCSN returns the numbers of the last changes that the server tells of, none when the account may not see them.
func (p *pass) contextCSN(context string) ([]string, error) {
	found, err := p.ask(context, ldap.ScopeBaseObject, "(objectClass=*)", []string{"contextCSN"})
	if err != nil || len(found.Entries) == 0 {
		return nil, err
	}
	return found.Entries[0].GetAttributeValues("contextCSN"), nil
}

// speaksUp asks for a whole run when the server holds changes that it does not tell of: a slapd that was killed forgets those since its
// last checkpoint until the next write.
func (p *pass) speaksUp(context string, told []string) error {
	if len(told) == 0 {
		return nil
	}
	newest := ldap.EscapeFilter(slices.Max(told))
	request := ldap.NewSearchRequest(context, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 1, 0, false,
		"(&(entryCSN>="+newest+")(!(entryCSN="+newest+")))", []string{"1.1"}, nil)
	found, err := p.search(request, nil)
	if err != nil && !errors.Is(err, errLimit) {
		return err
	}
	if err == nil && len(found.Entries) == 0 {
		return nil
	}
	now, err := p.contextCSN(context)
	if err != nil {
		return err
	}
	if slices.Max(append(now, "")) > slices.Max(told) {
		return nil // it came in between
	}
	return errExpired("%s holds changes that it does not tell of: it was killed, and tells of them with the next change", p.session.server)
}

// goesOn compares the numbers of a cookie with the server's, each by server id.
func goesOn(cookie, server []string) error {
	if len(cookie) == 0 {
		return errExpired("the cookie is missing")
	}
	if len(server) == 0 {
		return nil // the account may not see them
	}
	last := map[string]string{}
	for _, csn := range cookie {
		last[serverID(csn)] = csn
	}
	now := map[string]string{}
	for _, csn := range server {
		id := serverID(csn)
		if now[id] = csn; last[id] == "" {
			return errExpired("the server knows of changes on server %s, which the cookie does not", id)
		}
	}
	for id, csn := range last {
		if now[id] < csn {
			return errExpired("the server is older (%q) than the cookie (%q): it lags behind or was restored", now[id], csn)
		}
	}
	return nil
}

// csnsOf returns the change sequence numbers of an OpenLDAP cookie: "rid=000,csn=A;B".
func csnsOf(cookie string) []string {
	for part := range strings.SplitSeq(cookie, ",") {
		if list, found := strings.CutPrefix(part, "csn="); found && list != "" {
			return strings.Split(list, ";")
		}
	}
	return nil
}

// serverID is the third part of a change sequence number, time#count#server#modification.
func serverID(csn string) string {
	parts := strings.Split(csn, "#")
	if len(parts) != 4 {
		return csn
	}
	return parts[2]
}
