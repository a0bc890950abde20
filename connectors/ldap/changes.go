package ldap

import (
	"rollcall/connectors"
)

// changes is what an incremental pass holds back to its end: who is said to be gone from one base may have moved to another.
type changes struct {
	here map[fingerprint]struct{}
	gone []string
}

// told returns where the pass notes of whom it told.
func (c *changes) told() map[fingerprint]struct{} {
	if c.here == nil {
		c.here = map[fingerprint]struct{}{}
	}
	return c.here
}

func (c *changes) goneKey(key string) error {
	c.gone = append(c.gone, key)
	return nil
}

// finish tells who is gone. With several bases the absent are looked up: somebody may have moved, during the pass, from a base not
// yet read to one already read.
func (c *changes) finish(p *pass) error {
	var keys []string
	for _, key := range c.gone {
		if _, here := c.here[fingerprintOf(key)]; !here {
			keys = append(keys, key)
		}
	}
	present := map[string]bool{}
	if len(p.config.bases()) > 1 {
		if err := p.lookUpAll(keys, present); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if present[key] {
			continue
		}
		if err := p.tell(connectors.Record{Key: key, Kind: connectors.User, Deleted: true}); err != nil {
			return err
		}
	}
	return nil
}
