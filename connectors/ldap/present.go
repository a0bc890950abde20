package ldap

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// presentChunk is how many keys one search asks for.
const presentChunk = 200

// Present looks keys up over all bases, on the server that the last Read used.
func (s *source) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	asked, present := keys, make(map[string]bool, len(keys))
	for _, key := range keys {
		present[key] = false
	}
	se, err := s.reconnect(ctx)
	if err != nil {
		return nil, err
	}
	defer se.close()
	p := &pass{source: s, session: se, decoder: newDecoder(s.config.key(), nil, false, time.Time{})}
	for len(keys) > 0 {
		n := min(presentChunk, len(keys))
		if err := p.lookUp(keys[:n], present); err != nil {
			return nil, err
		}
		keys = keys[n:]
	}
	return present, s.presentGroups(ctx, asked, present)
}

func (s *source) reconnect(ctx context.Context) (*session, error) {
	if s.server == "" {
		return s.connect(ctx)
	}
	return s.connectTo(ctx, s.server)
}

// lookUp asks every base for entries with one of the keys.
func (p *pass) lookUp(keys []string, present map[string]bool) error {
	var filter strings.Builder
	key := p.config.key()
	coding := syntaxes[strings.ToLower(key)]
	for _, k := range keys {
		for _, raw := range coding.bytes(k) {
			fmt.Fprintf(&filter, "(%s=%s)", key, ldap.EscapeFilter(raw))
		}
	}
	if filter.Len() == 0 {
		return nil
	}
	for _, base := range p.config.bases() {
		request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			"(&"+p.filter+"(|"+filter.String()+"))", []string{key}, nil)
		_, err := p.search(request, &sink{reference: p.reference, entry: func(content []byte) error {
			if err := p.decoder.decode(content, &p.record); err != nil {
				return err
			}
			if _, asked := present[p.record.Key]; asked {
				present[p.record.Key] = true
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
	if found, err := se.discover(); err == nil && found.Type != "" {
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
	return append(lines, "every run reads the whole directory"), nil
}

// checkBase looks at the first entry of a base.
func (s *source) checkBase(se *session, base string) (string, error) {
	p := &pass{source: s, session: se, decoder: newDecoder(s.config.key(), s.wanted(), s.all(), time.Now())}
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
