package ldap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// source is the connector.
type source struct {
	config *Config
	filter string
	env    connectors.Env
	server string // that the last Read used
}

func newSource(c *Config, filter string, env connectors.Env) *source {
	return &source{config: c, filter: filter, env: env}
}

// Read reads every base, or what changed since a checkpoint.
func (s *source) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return connectors.Outcome{}, context.Cause(ctx)
	}
	begin, err := s.decodeCheckpoint(since)
	if err != nil {
		return connectors.Outcome{}, err
	}
	se, err := s.connect(ctx)
	if err != nil {
		return connectors.Outcome{}, err
	}
	defer se.close()
	return s.pass(se, emit).over(ctx, begin)
}

// over makes the pass, from the beginning when since is nil.
func (p *pass) over(ctx context.Context, since *checkpoint) (connectors.Outcome, error) {
	o, err := p.read(since)
	var emitted *emitError
	switch {
	case errors.As(err, &emitted):
		return connectors.Outcome{}, emitted.error
	case err != nil:
		return connectors.Outcome{}, err
	case ctx.Err() != nil:
		return connectors.Outcome{}, context.Cause(ctx)
	}
	if since == nil && p.entries+p.groups == 0 && len(p.references) > 0 {
		return connectors.Outcome{}, connectors.Hint(fmt.Errorf("%w: %s holds no entries of the scope and refers to %s", connectors.ErrIncomplete,
			p.session.server, strings.Join(p.references, ", ")), "name the server that holds them in servers")
	}
	if p.next != nil {
		if o.Next, err = p.next.encode(); err != nil {
			return connectors.Outcome{}, err
		}
	}
	if p.source.server != p.session.server {
		p.source.server = p.session.server
	}
	return o, nil
}

// pass is one reading of the source over one connection.
type pass struct {
	*source
	session *session
	decoder *decoder
	emit    func(connectors.Record) error

	record     connectors.Record
	emitted    map[fingerprint]fingerprint // key → DN, where an entry or a key may come twice
	told       map[fingerprint]struct{}    // keys that were emitted, in an incremental pass
	partial    []partialEntry              // entries of this page with more values to fetch
	hurried    bool                        // another pass from the same checkpoint follows
	outside    bool                        // what comes is not in the scope
	blind      bool                        // the account sees nobody who is deleted
	key        string                      // of the entry that comes, where the server tells it beside the entry
	taken      int                         // entries that came
	entries    int                         // entries that were emitted
	deletions  int                         // deletions that were emitted
	sightings  int                         // entries that were said to be there unchanged
	pages      int                         // searches
	paged      int                         // pages of entries
	evidence   string                      // how the end was proven
	named      bool                        // names are noted
	names      []string                    // of the people who were emitted, in an incremental pass with groups
	groups     int                         // groups among what was emitted before
	next       *checkpoint                 // where the next pass begins, nil when it reads everything again
	references []string
}

// fingerprint stands for a key or a DN, which would keep the whole entry in memory.
type fingerprint [16]byte

func fingerprintOf(text string) fingerprint {
	sum := sha256.Sum256([]byte(text))
	return fingerprint(sum[:16])
}

// partialEntry is an entry with attributes of which the server gave only the first values.
type partialEntry struct {
	record connectors.Record
	more   []rangedAttribute
}

// readPages reads every base in pages.
func (p *pass) readPages() error {
	if err := p.readBases(); err != nil {
		return err
	}
	p.evidence = fmt.Sprintf("success and an empty paging cookie for %[1]d of %[1]d bases, %d entries in %d pages", len(p.config.bases()), p.entries, p.paged)
	return nil
}

// readBase reads who matches the filter at a base and below.
func (p *pass) readBase(base string) error { return p.readMatching(base, p.filter) }

func (p *pass) readMatching(base, filter string) error {
	attributes := p.requested()
	if clock := p.decoder.clock; clock != "" && !slices.ContainsFunc(attributes, func(n string) bool { return strings.EqualFold(n, clock) }) {
		attributes = append(attributes, clock)
	}
	return p.eachPage(base, filter, attributes, p.localOnly(), &sink{entry: p.entry, reference: p.reference})
}

// eachPage makes a search page by page. The sink counts in taken what comes.
func (p *pass) eachPage(base, filter string, attributes []string, controls []ldap.Control, to *sink) error {
	var cookie []byte
	for {
		before, last := p.taken, cookie
		paging := ldap.NewControlPaging(uint32(p.config.pageSize()))
		paging.SetCookie(cookie)
		result, err := p.search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes,
			append([]ldap.Control{paging}, controls...)), to)
		if err != nil {
			return err
		}
		p.paged++
		if err := p.completePartial(); err != nil {
			return err
		}
		control, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok {
			return connectors.Hint(fmt.Errorf("%w: %s: the page under %s came without the paging control: nobody knows whether it was the last",
				connectors.ErrIncomplete, p.session.server, base), "the server does not support paged results (RFC 2696), or a proxy drops them")
		}
		if cookie = control.Cookie; len(cookie) == 0 {
			return nil
		}
		if p.taken == before && bytes.Equal(cookie, last) {
			return connectors.Hint(fmt.Errorf("%w: %s: the pages under %s go round in a circle", connectors.ErrIncomplete, p.session.server, base),
				"another page_size, or another server")
		}
	}
}

// domainScope is LDAP_SERVER_DOMAIN_SCOPE_OID: no references to other partitions, please (MS-ADTS 3.1.1.3.4.1.4).
const domainScope = "1.2.840.113556.1.4.1339"

// search makes a search whose entries go to a sink.
func (p *pass) search(request *ldap.SearchRequest, to *sink) (*ldap.SearchResult, error) {
	p.logSearch(p.session.server, p.pages+1, request)
	p.session.tap.sink.Store(to)
	result, err := p.session.conn.Search(request)
	p.session.tap.sink.Store(nil)
	p.pages++
	if p.session.ctx.Err() != nil {
		return nil, context.Cause(p.session.ctx)
	}
	if err != nil {
		return nil, p.session.say(err, "search under "+request.BaseDN)
	}
	if cause := p.session.tap.failure(); cause != nil {
		return nil, p.session.say(cause, "search under "+request.BaseDN)
	}
	return result, nil
}

// entry takes one entry over.
func (p *pass) entry(content []byte) error {
	p.taken++
	if err := p.decoder.decode(content, &p.record); err != nil {
		return err
	}
	if p.record.Key == "" {
		p.record.Key = p.key
	}
	if p.record.Key == "" {
		return &emitError{p.decoder.keyless(p.record.Name)}
	}
	if len(p.decoder.ranged) > 0 {
		p.partial = append(p.partial, partialEntry{clone(p.record), slices.Clone(p.decoder.ranged)})
		return nil
	}
	return p.deliver(p.record)
}

func (p *pass) deliver(r connectors.Record) error {
	if err := p.session.ctx.Err(); err != nil {
		return &emitError{context.Cause(p.session.ctx)}
	}
	if p.emitted != nil {
		key, dn := fingerprintOf(r.Key), fingerprintOf(strings.ToLower(r.Name))
		first, again := p.emitted[key]
		if again && (first == dn || p.uniqueKey()) {
			return nil // it moved from a base that was read to one that was not
		}
		if p.emitted[key] = dn; again {
			r = connectors.Record{Key: r.Key, Kind: r.Kind, Name: r.Name, Problem: fmt.Sprintf("%s %s is the key of another entry too", p.config.key(), r.Key)}
		}
	}
	if p.outside {
		return p.tell(connectors.Record{Key: strings.Clone(r.Key), Kind: r.Kind, Name: r.Name, Deleted: true})
	}
	if p.named {
		p.names = append(p.names, strings.Clone(r.Name))
	}
	if p.told != nil {
		p.told[fingerprintOf(r.Key)] = struct{}{}
	}
	return p.tell(r)
}

// tell emits a record and counts it.
func (p *pass) tell(r connectors.Record) error {
	switch {
	case r.Deleted:
		p.deletions++
	case r.Partial:
		p.sightings++
	default:
		p.entries++
	}
	if err := p.emit(r); err != nil {
		return &emitError{err}
	}
	return nil
}

func (p *pass) reference(content []byte) error {
	uri, _, err := expect(content, tagOctets)
	if err == nil && len(p.references) < 10 && !slices.Contains(p.references, string(uri)) {
		p.references = append(p.references, string(uri))
	}
	return err
}

// completePartial fetches the rest of the page's attributes that came in part, on the same connection.
func (p *pass) completePartial() error {
	for _, e := range p.partial {
		for _, more := range e.more {
			if err := p.fetchRange(&e.record, more); err != nil {
				return err
			}
		}
		if err := p.deliver(e.record); err != nil {
			var emitted *emitError
			if errors.As(err, &emitted) {
				return emitted.error
			}
			return err
		}
	}
	p.partial = p.partial[:0]
	return nil
}

func (p *pass) fetchRange(r *connectors.Record, more rangedAttribute) error {
	i := slices.IndexFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == more.name })
	for next := more.next; next > 0; {
		asked := fmt.Sprintf("%s;range=%d-*", more.name, next)
		request := ldap.NewSearchRequest(r.Name, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{asked}, nil)
		rest := newDecoder("", []string{more.name}, false, p.decoder.now)
		var part connectors.Record
		found := false
		_, err := p.search(request, &sink{reference: p.reference, entry: func(content []byte) error { found = true; return rest.decode(content, &part) }})
		if err != nil && !errors.Is(err, connectors.ErrScope) {
			return err
		}
		if !found || len(part.Attributes[0].Values) == 0 {
			return connectors.Hint(fmt.Errorf("%w: %s or its values of %s from %d on vanished while they were read", connectors.ErrChanged, r.Name, more.name, next),
				"run the source again")
		}
		r.Attributes[i].Values = append(r.Attributes[i].Values, part.Attributes[0].Values...)
		before := next
		next = 0
		for _, again := range rest.ranged {
			next = again.next
		}
		if next != 0 && next <= before {
			return fmt.Errorf("%w: %s: the ranges of %s do not go on after %d", connectors.ErrIncomplete, r.Name, more.name, before)
		}
	}
	slices.Sort(r.Attributes[i].Values)
	return nil
}

func (p *pass) outcome() connectors.Outcome {
	o := connectors.Outcome{Server: p.session.server, Pages: p.pages, Bytes: p.session.tap.bytes.Load(),
		Wire: time.Duration(p.session.tap.wait.Load()), Evidence: p.evidence}
	if p.groups > 0 {
		o.Evidence += fmt.Sprintf(", groups likewise: %d", p.groups)
	}
	if len(p.references) > 0 {
		o.Warnings = []string{"the server refers to other servers, which are not read: " + strings.Join(p.references, ", ")}
	}
	return o
}

// wanted are the attributes that every record lists.
func (s *source) wanted() []string {
	var names []string
	for _, name := range append(slices.Clone(s.env.Attributes), s.config.Attributes...) {
		if name != "*" && name != "" && !isPassword(name) && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// requested are the attributes that the server is asked for: the wanted ones, the key, and what says that an
// account may not be used.
func (s *source) requested() []string {
	names := slices.DeleteFunc(s.wanted(), func(n string) bool { return strings.EqualFold(n, "dn") })
	if s.all() {
		names = append(names, "*")
	}
	for _, name := range append([]string{s.config.key()}, s.config.preset().Disabled...) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// uniqueKey reports whether the directory itself sees to it that no two entries have one key.
func (s *source) uniqueKey() bool {
	for _, p := range presets {
		if p.Key != "" && strings.EqualFold(p.Key, s.config.key()) {
			return true
		}
	}
	return false
}

// all reports whether every attribute is recorded.
func (s *source) all() bool { return slices.Contains(s.config.Attributes, "*") }

func clone(r connectors.Record) connectors.Record {
	r.Attributes = slices.Clone(r.Attributes)
	for i := range r.Attributes {
		r.Attributes[i].Values = slices.Clone(r.Attributes[i].Values)
	}
	return r
}
