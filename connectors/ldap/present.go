package ldap

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// presentChunk is how many keys one search asks for.
const presentChunk = 200

// Present looks keys up over all bases, on the server that the last Read used.
func (s *source) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	present := make(map[string]bool, len(keys))
	se, err := s.reconnect(ctx)
	if err != nil {
		return nil, err
	}
	defer se.close()
	p := &pass{source: s, session: se}
	if err := p.lookUpAll(keys, present); err != nil {
		return nil, err
	}
	return present, s.presentGroups(ctx, keys, present)
}

// lookUpAll notes in present which of the keys exist.
func (p *pass) lookUpAll(keys []string, present map[string]bool) error {
	d := newDecoder(p.config.key(), nil, false, time.Time{})
	for chunk := range slices.Chunk(keys, presentChunk) {
		for _, key := range chunk {
			present[key] = false
		}
		if err := p.lookUp(d, chunk, present); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) reconnect(ctx context.Context) (*session, error) {
	if s.server == "" {
		return s.connect(ctx)
	}
	return s.connectTo(ctx, s.server)
}

// keyFilter selects the entries with one of the keys, "" when no entry can have one.
func (s *source) keyFilter(keys []string) string {
	var filter strings.Builder
	key := s.config.key()
	coding := syntaxes[strings.ToLower(key)]
	for _, k := range keys {
		for _, raw := range coding.bytes(k) {
			fmt.Fprintf(&filter, "(%s=%s)", key, ldap.EscapeFilter(raw))
		}
	}
	if filter.Len() == 0 {
		return ""
	}
	return "(|" + filter.String() + ")"
}

// lookUp asks every base for entries with one of the keys.
func (p *pass) lookUp(d *decoder, keys []string, present map[string]bool) error {
	filter := p.keyFilter(keys)
	if filter == "" {
		return nil
	}
	for _, base := range p.config.bases() {
		request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			"(&"+p.filter+filter+")", []string{p.config.key()}, nil)
		_, err := p.search(request, &sink{reference: p.reference, entry: func(content []byte) error {
			var r connectors.Record
			if err := d.decode(content, &r); err != nil {
				return err
			}
			if _, asked := present[r.Key]; asked {
				present[r.Key] = true
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// Check signs in, finds the bases and looks at one entry.
func (s *source) Check(ctx context.Context) ([]string, error) {
	se, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer se.close()
	lines := append(s.checkServers(ctx), fmt.Sprintf("signed in to %s as %s", se.server, s.identity()))
	if u, err := url.Parse(se.server); err == nil && isCatalogue(u.Port()) {
		lines = append(lines, "warning: port "+u.Port()+" is a global catalogue: it has only the attributes that the forest replicates to it, the others seem empty")
	}
	s.logSearch(se.server, 1, rootRequest())
	if found, err := discover(se.conn, se.server); err == nil && found.Type != "" {
		lines = append(lines, "the server is of type "+found.Type)
		if found.Type != s.config.Type && s.config.Type != "generic" {
			lines = append(lines, fmt.Sprintf("warning: type: %s is configured", s.config.Type))
		}
	}
	for _, base := range s.config.bases() {
		line, err := s.checkBase(se, base)
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
	if groups := s.ofGroups(); groups != nil {
		found, err := groups.checkGroups(se, s.config.SelectGroups)
		if lines = append(lines, found...); err != nil {
			return lines, err
		}
	}
	p := s.pass(se, nil)
	chosen, err := p.choose()
	if err != nil {
		return lines, err
	}
	lines = append(lines, chosen.explain()...)
	if p.blind {
		lines = append(lines, "warning: "+s.identity()+" sees nobody in CN=Deleted Objects: every run reads everybody's key to find who is gone; "+
			"an administrator can let it (dsacls \"CN=Deleted Objects,DC=…\" /takeownership, then /G account:LCRP)")
	}
	return append(lines, s.checkLive(chosen.name)...), nil
}

// checkLive says how a live source is followed.
func (s *source) checkLive(way string) []string {
	switch {
	case !s.config.Live:
		return nil
	case way == "full":
		return []string{"warning: live: this source cannot stay connected, its schedule runs it"}
	case way == "syncrepl":
		return []string{"live: the server tells by itself that something changed"}
	}
	return []string{"live: the server is asked every " + s.config.pollEvery().String()}
}

// checkBase looks at the first entry of a base.
func (s *source) checkBase(se *session, base string) (string, error) {
	p := s.pass(se, nil)
	first := ""
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 1, 0, false, s.filter, s.requested(), nil)
	_, err := p.search(request, &sink{reference: p.reference, entry: func(content []byte) error {
		if err := p.decoder.decode(content, &p.record); err != nil {
			return err
		}
		if p.record.Key == "" {
			return &emitError{p.decoder.keyless(p.record.Name)}
		}
		first = p.record.Name
		return nil
	}})
	if first != "" && errors.Is(err, errLimit) {
		err = nil // one entry was asked for, and there are more
	}
	if err != nil {
		return "", err
	}
	if first == "" {
		return fmt.Sprintf("warning: no entry under %s matches %s", base, s.filter), nil
	}
	return fmt.Sprintf("under %s there is, for example, %s with its %s", base, first, s.config.key()), nil
}
