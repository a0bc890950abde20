package ldap

import (
	"slices"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// containers selects the entries that others are below: a renamed one moves its children, and no refresh tells of them.
const containers = "(|(objectClass=organizationalUnit)(objectClass=organization)(objectClass=domain)(objectClass=dcObject)" +
	"(objectClass=locality)(objectClass=country)(objectClass=container)(objectClass=nsContainer))"

// reread tells of the entries with these keys as they are now: those in the scope whole, the others as gone. Of a container it tells what
// is below it, in the scope or not: it may have been renamed or moved.
func (p *pass) reread(context string, keys []string) error {
	p.told = map[fingerprint]struct{}{}
	missing, err := p.readKeys(keys)
	if err == nil && len(p.config.bases()) > 1 { // somebody may have moved meanwhile to a base that was asked before
		missing, err = p.readKeys(missing)
	}
	if err != nil {
		return err
	}
	if err := p.rereadContainers(context, missing); err != nil {
		return err
	}
	for _, key := range missing {
		if _, told := p.told[fingerprintOf(key)]; told {
			continue
		}
		if err := p.tell(connectors.Record{Key: key, Kind: connectors.User, Deleted: true}); err != nil {
			return err
		}
	}
	return nil
}

// readKeys reads the entries with these keys and returns the keys of those that are not in the scope.
func (p *pass) readKeys(keys []string) (missing []string, err error) {
	for chunk := range slices.Chunk(keys, presentChunk) {
		for _, base := range p.config.bases() {
			request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(&"+p.filter+p.keyFilter(chunk)+")", p.requested(), p.localOnly())
			if _, err := p.search(request, &sink{entry: p.entry, reference: p.reference}); err != nil {
				return nil, err
			}
			if err := p.completePartial(); err != nil {
				return nil, err
			}
		}
		for _, key := range chunk {
			if _, told := p.told[fingerprintOf(key)]; !told {
				missing = append(missing, key)
			}
		}
	}
	return missing, nil
}

// rereadContainers tells of everybody below those of the entries that are containers.
func (p *pass) rereadContainers(context string, keys []string) error {
	var found []string
	for chunk := range slices.Chunk(keys, presentChunk) {
		result, err := p.ask(context, ldap.ScopeWholeSubtree, "(&"+containers+p.keyFilter(chunk)+")", []string{"1.1"}, p.localOnly()...)
		if err != nil {
			return err
		}
		for _, e := range result.Entries {
			found = append(found, e.DN)
		}
	}
	for _, dn := range topmost(found) {
		if p.holdsBase(dn) {
			continue // it was not renamed, or its base would not be found
		}
		p.outside = !p.inScope(dn)
		if err := p.readBase(dn); err != nil {
			return err
		}
		p.outside = false
	}
	return nil
}

// holdsBase reports whether a base is the entry or below it.
func (p *pass) holdsBase(dn string) bool {
	return slices.ContainsFunc(p.config.bases(), func(base string) bool { return normalDN(base) == normalDN(dn) || isBelow(base, dn) })
}

// inScope reports whether an entry of this name is in a base.
func (p *pass) inScope(dn string) bool {
	return slices.ContainsFunc(p.config.bases(), func(base string) bool { return normalDN(base) == normalDN(dn) || isBelow(dn, base) })
}

// localOnly are the controls that keep Active Directory from referring to its other partitions.
func (s *source) localOnly() []ldap.Control {
	if s.config.Type != "active-directory" {
		return nil
	}
	return []ldap.Control{ldap.NewControlString(domainScope, false, "")}
}

// topmost are the names that are not below another.
func topmost(dns []string) []string {
	return slices.DeleteFunc(slices.Clone(dns), func(dn string) bool {
		return slices.ContainsFunc(dns, func(other string) bool { return isBelow(dn, other) })
	})
}
