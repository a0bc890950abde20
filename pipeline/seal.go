package pipeline

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// sealer seals the attributes that PINs come from, before anything of a record travels, and opens them where they
// are mapped.
type sealer struct {
	key *pinKey
	// secrets are the attributes' names in small letters.
	secrets map[string]bool
}

// sealed is what a sealed value begins with; behind it stands the ciphertext in base64.
const sealed = "rollcall-sealed-1:"

var (
	errNoPINKey = connectors.Hint(errors.New("attributes are mapped to pins, and this process has no key for them"),
		"pins: {key_file: …} with the key that the reconciler uses")
	errSeal = errors.New("a PIN was sealed with another key, or for another entry; left out [U6]")
)

// maxPINWarnings is how many warnings one record brings.
const maxPINWarnings = 50

func newSealer(key *pinKey, m *mapping.Mapping) sealer {
	s := sealer{key: key, secrets: map[string]bool{}}
	for _, name := range m.Secrets() {
		s.secrets[strings.ToLower(name)] = true
	}
	return s
}

// has reports whether an attribute holds PINs, in any spelling and with any of LDAP's options.
func (s *sealer) has(attribute string) bool {
	name, _, _ := strings.Cut(attribute, ";")
	return s.secrets[strings.ToLower(name)]
}

// seal seals a record's PINs. The same value of the same entry gives the same text, so that a record that did not change
// keeps its digest; equal PINs of two entries look different. What is empty stays so: an empty cell is news.
func (s *sealer) seal(r *connectors.Record) error {
	return s.each(r, func(value string) (string, error) {
		if s.key == nil {
			return "", errNoPINKey
		}
		text, err := s.key.seal.EncryptDeterministically([]byte(value), []byte(r.Key))
		return sealed + base64.RawStdEncoding.EncodeToString(text), err
	})
}

// open undoes seal. Values that cannot be opened are left out, with their reason.
func (s *sealer) open(r *connectors.Record) (warnings []mapping.Warning, err error) {
	err = s.each(r, func(value string) (string, error) {
		if s.key == nil {
			return "", errNoPINKey
		}
		text, ok := strings.CutPrefix(value, sealed)
		data, err := base64.RawStdEncoding.DecodeString(text)
		if ok && err == nil {
			data, err = s.key.seal.DecryptDeterministically(data, []byte(r.Key))
		}
		if !ok || err != nil {
			if len(warnings) < maxPINWarnings {
				warnings = append(warnings, mapping.Warning{Property: store.PINs.String(), Value: mapping.MaskSecret(value), Reason: errSeal.Error()})
			}
			return "", nil
		}
		return string(data), nil
	})
	return warnings, err
}

// each replaces every value of the attributes that PINs come from. The values may be the connector's own, so they are
// copied first.
func (s *sealer) each(r *connectors.Record, replace func(string) (string, error)) error {
	for i := range r.Attributes {
		a := &r.Attributes[i]
		if !s.has(a.Name) {
			continue
		}
		a.Values = slices.Clone(a.Values)
		for j, value := range a.Values {
			if value == "" {
				continue
			}
			var err error
			if a.Values[j], err = replace(value); err != nil {
				return fmt.Errorf("attribute %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

// hashPINs puts keyed hashes in the place of a change's PINs. One that nobody may have is left out with a warning that
// does not show it (P1, P3); one that is only too short by now stands apart, because whoever has it may keep it (P6).
func (s *sealer) hashPINs(c *mapping.Change, minimum int) {
	list := &c.List[store.PINs.List()]
	if len(*list) == 0 {
		return
	}
	hashes := make([]string, 0, len(*list))
	for _, pin := range *list {
		hash, err := s.hashPIN(pin, minimum)
		if short, tooShort := s.shortPIN(pin, err); tooShort {
			c.ShortPINs = append(c.ShortPINs, short)
			continue
		}
		if err != nil {
			if len(c.Warnings) < maxPINWarnings {
				c.Warnings = append(c.Warnings, mapping.Warning{Property: store.PINs.String(), Value: mapping.MaskSecret(pin), Reason: err.Error() + "; left out"})
			}
			continue
		}
		hashes = append(hashes, hash)
	}
	slices.Sort(c.ShortPINs)
	slices.Sort(hashes)
	*list = slices.Compact(hashes)
	if len(*list) == 0 {
		*list = nil
	}
}

// shortPIN returns the hash of a PIN that failed for its length alone.
func (s *sealer) shortPIN(pin string, failed error) (hash string, tooShort bool) {
	if failed == nil || s.key == nil || policy.CheckPIN(pin, 0) != nil {
		return "", false
	}
	hash, err := s.hashPIN(pin, 0)
	return hash, err == nil
}

// hashPIN returns the hash of a PIN that keeps the rules, or the one that an export carries.
func (s *sealer) hashPIN(pin string, minimum int) (string, error) {
	if text, isCarried := strings.CutPrefix(pin, carriedPIN); isCarried {
		return s.key.carried(text)
	}
	if err := policy.CheckPIN(pin, minimum); err != nil {
		return "", err
	}
	return s.key.Hash(pin), nil
}
