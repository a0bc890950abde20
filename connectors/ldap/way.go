package ldap

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// way is one way of finding what changed.
type way interface {
	// offered says in a sentence why server, account or configuration rule the way out, "" when they do not.
	offered(p *pass, root *ldap.Entry) (reason string, err error)
	// whole reads everything and writes into c where changes goes on.
	whole(p *pass, c *checkpoint) error
	// changes reads what changed since c and moves c on. whole is true when it told of every entry of the scope after all.
	changes(p *pass, c *checkpoint) (whole bool, err error)
}

// ways are the ways by name, the best first.
var ways = []struct {
	name string
	way
}{
	{"syncrepl", syncrepl{}},
	{"dirsync", dirsync{}},
	{"usn", usn{}},
	{"poll", poll{}},
	{"full", full{}},
}

func wayOf(name string) way {
	for _, w := range ways {
		if w.name == name {
			return w.way
		}
	}
	return nil
}

// wayNames are the words that changes may have.
func wayNames() string {
	names := []string{"auto"}
	for _, w := range ways {
		names = append(names, w.name)
	}
	return strings.Join(names, ", ")
}

// full reads everything in every run.
type full struct{}

func (full) offered(*pass, *ldap.Entry) (string, error) { return "", nil }
func (full) whole(p *pass, _ *checkpoint) error         { return p.readPages() }
func (full) changes(*pass, *checkpoint) (bool, error) {
	return false, errExpired("this source is always read as a whole")
}

// choice is the way that a source is read, and why it is not a better one.
type choice struct {
	name string
	way
	root    *ldap.Entry // what the server says of itself, nil when nobody asked
	reasons []string
}

// choose takes the way that the configuration names, or the best that the server offers.
func (p *pass) choose() (choice, error) {
	named := p.config.changes()
	if named == "full" {
		return choice{name: named, way: full{}}, nil
	}
	root, err := p.readRoot()
	if err != nil {
		return choice{}, p.session.say(err, "ask the server what it offers")
	}
	chosen := choice{root: root}
	for _, w := range ways {
		if named != "auto" && named != w.name {
			continue
		}
		reason, err := w.offered(p, root)
		if err != nil {
			return choice{}, err
		}
		if reason == "" {
			chosen.name, chosen.way = w.name, w.way
			return chosen, nil
		}
		chosen.reasons = append(chosen.reasons, w.name+": "+reason)
	}
	return choice{}, connectors.Hint(fmt.Errorf("%w: %s: changes: %s", connectors.ErrScope, p.session.server, strings.Join(chosen.reasons, "; ")),
		"changes: auto takes the best way that the server offers")
}

// readRoot reads what the server says of itself.
func (p *pass) readRoot() (*ldap.Entry, error) {
	p.logSearch(p.session.server, p.pages+1, rootRequest())
	return readRoot(p.session.conn)
}

// explain is the choice for an operator, a sentence a line.
func (c choice) explain() []string {
	line := "changes are found by " + c.name
	if c.name == "full" {
		line = "every run reads the whole directory"
	}
	lines := []string{line}
	for _, r := range c.reasons {
		lines = append(lines, "not by "+r)
	}
	return lines
}

// read makes a pass, from the beginning when since is nil. The groups come first, because the filter of the people may match them too.
func (p *pass) read(since *checkpoint) (connectors.Outcome, error) {
	var gone departures
	emit := p.emit
	together := since != nil && p.ofGroups() != nil
	if together {
		p.emit = gone.holdBack(emit)
	}
	groups, err := p.readGroups(since)
	if err != nil {
		return connectors.Outcome{}, err
	}
	whole := true
	if since == nil {
		err = p.readAll()
	} else {
		p.named = together
		whole, err = p.readChanges(since)
	}
	if err == nil && len(p.names) > 0 {
		err = groups.mend(p.names)
	}
	if err == nil && together {
		err = gone.tell(p, emit)
	}
	if err != nil {
		return connectors.Outcome{}, err
	}
	if groups != nil && groups.whole != whole {
		return connectors.Outcome{}, errExpired("%s tells of groups who is gone and of people who is there, or the other way round", p.session.server)
	}
	if groups != nil && (groups.next == nil || p.next == nil) {
		p.next = nil
	} else if groups != nil {
		p.next.Groups = groups.next
		p.next.Scan = p.next.Scan || groups.next.Scan
		groups.next.Scan = p.next.Scan
	}
	o := p.outcome()
	o.Whole = whole
	return o, nil
}

// readAll reads everything.
func (p *pass) readAll() error {
	chosen, err := p.choose()
	if err != nil {
		return err
	}
	if len(p.config.bases()) > 1 || !p.uniqueKey() {
		p.emitted = map[fingerprint]fingerprint{}
	}
	c := p.newCheckpoint(chosen)
	if err := chosen.whole(p, c); err != nil {
		return err
	}
	if chosen.name != "full" {
		p.next = c
	}
	return nil
}

// readChanges reads what changed since a checkpoint.
func (p *pass) readChanges(since *checkpoint) (whole bool, err error) {
	p.next = since.clone()
	if whole, err = wayOf(since.Way).changes(p, p.next); err != nil {
		return false, err
	}
	if p.evidence == "" {
		p.evidence = fmt.Sprintf("success and the mark of %s for %d of %[2]d bases: %d changed, %d gone, %d there as before", since.Way, len(p.config.bases()), p.entries, p.deletions, p.sightings)
	}
	return whole, nil
}

// errExpired asks for a whole run.
func errExpired(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{connectors.ErrCheckpointExpired}, args...)...)
}

// ask makes a small search whose entries go-ldap decodes.
func (p *pass) ask(base string, scope int, filter string, attributes []string, controls ...ldap.Control) (*ldap.SearchResult, error) {
	return p.search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, controls), nil)
}

// contextOf returns the naming context that holds dn, "" when the server names none.
func contextOf(root *ldap.Entry, dn string) string {
	best := ""
	for _, c := range root.GetAttributeValues("namingContexts") {
		if (normalDN(c) == normalDN(dn) || isBelow(dn, c)) && len(c) > len(best) {
			best = c
		}
	}
	return best
}

// vendor is the type of directory that the server says to be, or else the configured one.
func (s *source) vendor(root *ldap.Entry) string {
	if root != nil {
		if typ := typeOf(root); typ != "" {
			return typ
		}
	}
	return s.config.Type
}

// lacks is the sentence for a control that the server does not announce, "" for one that it does.
func lacks(root *ldap.Entry, oid, name string) string {
	if slices.Contains(root.GetAttributeValues("supportedControl"), oid) {
		return ""
	}
	return "the server does not announce " + name
}

// refused is the sentence for an LDAP result, and nil for the error; any other error is passed on.
func refused(err error) (string, error) {
	if code := resultCode(err); code != 0 {
		return "the server refuses it: " + err.Error(), nil
	}
	return "", err
}

// pass begins a pass over a session.
func (s *source) pass(se *session, emit func(connectors.Record) error) *pass {
	return &pass{source: s, session: se, emit: emit, decoder: newDecoder(s.config.key(), s.wanted(), s.all(), time.Now())}
}
