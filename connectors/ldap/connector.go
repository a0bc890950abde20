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

// Read reads every base, page by page.
func (s *source) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	if since != nil {
		return connectors.Outcome{}, fmt.Errorf("%w: this source is always read as a whole", connectors.ErrCheckpointExpired)
	}
	if err := ctx.Err(); err != nil {
		return connectors.Outcome{}, context.Cause(ctx)
	}
	se, err := s.connect(ctx)
	if err != nil {
		return connectors.Outcome{}, err
	}
	defer se.close()
	p := &pass{source: s, session: se, emit: emit, decoder: newDecoder(s.config.key(), s.wanted(), s.all(), time.Now())}
	bases := s.config.bases()
	if len(bases) > 1 {
		p.emitted = map[string]bool{}
	}
	for _, base := range bases {
		if err := p.readBase(base); err != nil {
			return connectors.Outcome{}, err
		}
	}
	if ctx.Err() != nil {
		return connectors.Outcome{}, context.Cause(ctx)
	}
	s.server = se.server
	return p.outcome(), nil
}

// pass is one reading of the source over one connection.
type pass struct {
	*source
	session *session
	decoder *decoder
	emit    func(connectors.Record) error

	record     connectors.Record
	emitted    map[string]bool // keys, where bases could give an entry twice
	partial    []partialEntry  // entries of this page with more values to fetch
	entries    int
	pages      int
	references []string
}

// partialEntry is an entry with attributes of which the server gave only the first values.
type partialEntry struct {
	record connectors.Record
	more   []rangedAttribute
}

func (p *pass) readBase(base string) error {
	var cookie []byte
	for {
		result, err := p.page(base, cookie)
		if err != nil {
			return err
		}
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
	}
}

// page asks for one page and emits its entries as they come.
func (p *pass) page(base string, cookie []byte) (*ldap.SearchResult, error) {
	paging := ldap.NewControlPaging(uint32(p.config.pageSize()))
	paging.SetCookie(cookie)
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, p.filter, p.requested(), []ldap.Control{paging})
	p.env.Log.Debug().Int("page", p.pages+1).Msg(p.pasteable(p.session.server, request))
	return p.search(request, &sink{entry: p.entry, reference: p.reference})
}

// search makes a search whose entries go to a sink.
func (p *pass) search(request *ldap.SearchRequest, to *sink) (*ldap.SearchResult, error) {
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
	if err := p.decoder.decode(content, &p.record); err != nil {
		return err
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
		if p.emitted[r.Key] {
			return nil
		}
		p.emitted[r.Key] = true
	}
	p.entries++
	if err := p.emit(r); err != nil {
		return &emitError{err}
	}
	return nil
}

func (p *pass) reference(content []byte) error {
	uri, _, err := expect(content, tagOctets)
	if err == nil && len(p.references) < 10 {
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
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: %s vanished while the values of %s were read", connectors.ErrChanged, r.Name, more.name)
		}
		for _, a := range part.Attributes {
			if a.Name == more.name {
				r.Attributes[i].Values = append(r.Attributes[i].Values, a.Values...)
			}
		}
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
	o := connectors.Outcome{Whole: true, Server: p.session.server, Pages: p.pages, Bytes: p.session.tap.bytes.Load(),
		Wire:     time.Duration(p.session.tap.wait.Load()),
		Evidence: fmt.Sprintf("success and an empty paging cookie for %d of %d bases, %d entries in %d pages", len(p.config.bases()), len(p.config.bases()), p.entries, p.pages)}
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

// all reports whether every attribute is recorded.
func (s *source) all() bool { return slices.Contains(s.config.Attributes, "*") }

func clone(r connectors.Record) connectors.Record {
	r.Attributes = slices.Clone(r.Attributes)
	for i := range r.Attributes {
		r.Attributes[i].Values = slices.Clone(r.Attributes[i].Values)
	}
	return r
}

// pasteable is a search as a command that an operator can run.
func (s *source) pasteable(server string, r *ldap.SearchRequest) string {
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	parts := []string{"ldapsearch", "-x", "-LLL", "-H", server}
	if s.config.TLS.StartTLS {
		parts = append(parts, "-ZZ")
	}
	if s.config.BindDN != "" {
		parts = append(parts, "-D", quote(s.config.BindDN), "-w", `"$LDAPPASSWORD"`)
	}
	parts = append(parts, "-E", fmt.Sprintf("pr=%d/noprompt", s.config.pageSize()), "-b", quote(r.BaseDN), quote(r.Filter))
	for _, a := range r.Attributes {
		parts = append(parts, quote(a))
	}
	return strings.Join(parts, " ")
}
