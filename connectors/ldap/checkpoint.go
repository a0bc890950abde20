package ldap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"rollcall/connectors"
)

// checkpoint is where the next incremental pass begins.
type checkpoint struct {
	Way string `json:"way"`
	// Scope is a fingerprint of everything that decides what a pass tells.
	Scope string `json:"scope"`
	// Vendor is the type of the server that was read.
	Vendor string `json:"vendor,omitempty"`
	// Contexts are the naming contexts of the bases.
	Contexts map[string]string `json:"contexts,omitempty"`
	// Cookies are the server's own marks, by what they are for.
	Cookies map[string][]byte `json:"cookies,omitempty"`
	// Clock is the time of the newest change that polling saw, and Attribute where it stands.
	Clock     time.Time `json:"clock,omitzero"`
	Attribute string    `json:"attribute,omitempty"`
	// Witnesses are, by naming context, the entries that OpenLDAP changed last.
	Witnesses map[string]witness `json:"witnesses,omitempty"`
	// Service, Invocation and USN are a domain controller's name, its database and the number of its last change, Domain the ids of its
	// naming contexts.
	Service    string `json:"service,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	USN        int64  `json:"usn,omitempty"`
	Domain     string `json:"domain,omitempty"`
	// Scan is true when the account does not see who is deleted: every pass tells who is there.
	Scan bool `json:"scan,omitempty"`
	// Groups is that of the groups, where they are read.
	Groups *checkpoint `json:"groups,omitempty"`
}

func (p *pass) newCheckpoint(chosen choice) *checkpoint {
	c := &checkpoint{Way: chosen.name, Scope: p.scopeHash(), Vendor: p.vendor(chosen.root), Scan: p.blind, Contexts: map[string]string{}, Cookies: map[string][]byte{}}
	if chosen.root != nil {
		for _, base := range p.config.bases() {
			c.Contexts[base] = contextOf(chosen.root, base)
		}
	}
	return c
}

// scopeHash stands for scope and attributes: a checkpoint of another pass does not go on in this one.
func (s *source) scopeHash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%q\n%t", s.config.Scope(), s.wanted(), s.all()))
	return hex.EncodeToString(sum[:8])
}

func (c *checkpoint) encode() (connectors.Checkpoint, error) { return json.Marshal(c) }

func (c *checkpoint) clone() *checkpoint {
	copied := *c
	copied.Contexts, copied.Cookies, copied.Witnesses = maps.Clone(c.Contexts), maps.Clone(c.Cookies), maps.Clone(c.Witnesses)
	return &copied
}

// scans reports whether every pass from here tells who is there.
func (c *checkpoint) scans() bool { return c.Way == "poll" || c.Scan }

// decodeCheckpoint reads a checkpoint that this source can go on from, nil for the beginning.
func (s *source) decodeCheckpoint(since connectors.Checkpoint) (*checkpoint, error) {
	if since == nil {
		return nil, nil
	}
	c := &checkpoint{}
	if err := json.Unmarshal(since, c); err != nil {
		return nil, errExpired("it cannot be read: %w", err)
	}
	if groups := s.ofGroups(); groups != nil {
		if err := groups.accept(c.Groups); err != nil {
			return nil, err
		}
	}
	return c, s.accept(c)
}

// accept refuses a checkpoint that another pass left behind.
func (s *source) accept(c *checkpoint) error {
	if c == nil || wayOf(c.Way) == nil {
		return errExpired("it is not one of this version's")
	}
	if named := s.config.changes(); named != "auto" && named != c.Way {
		return errExpired("changes were found by %s, now %s is configured", c.Way, named)
	}
	if c.Scope != s.scopeHash() {
		return errExpired("bases, filter, key or attributes are others than those that were read")
	}
	if c.Cookies == nil {
		c.Cookies = map[string][]byte{}
	}
	return nil
}

// Tell names the way and the time, number or hash that the checkpoint holds.
func (s *source) Tell(since connectors.Checkpoint) string {
	c := &checkpoint{}
	if err := json.Unmarshal(since, c); err != nil {
		return "unreadable"
	}
	switch {
	case c.USN != 0:
		return fmt.Sprintf("%s %d", c.Way, c.USN)
	case !c.Clock.IsZero():
		return c.Way + " " + c.Clock.UTC().Format(time.RFC3339)
	}
	newest := ""
	for _, cookie := range c.Cookies {
		for _, csn := range csnsOf(string(cookie)) {
			newest = max(newest, csn)
		}
	}
	if newest != "" {
		at, _, _ := strings.Cut(newest, "#")
		return c.Way + " " + formatGeneralTime(at)
	}
	sum := sha256.Sum256(since)
	return c.Way + " " + hex.EncodeToString(sum[:4])
}
