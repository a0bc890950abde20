package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/text/unicode/norm"
)

// violationLimit bounds what Check reports.
const violationLimit = 100

var errEnough = errors.New("and more")

// Check verifies every invariant of the store, the pages of the file included, and returns the
// violations, at most a hundred of them. Updates wait until it is done.
func (db *DB) Check() error {
	b, err := db.bolt.Begin(!db.readOnly)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	defer func() { _ = b.Rollback() }() // nothing was written
	return (&checker{tx: newTx(b), tallies: map[string]tally{},
		holds: map[string]map[string]int{}, members: map[string]int{}}).check()
}

// checker gathers violations, and the counters as they should be.
type checker struct {
	tx      *Tx
	found   []error
	index   *index
	number  uint64 // of the user who is looked at
	claims  int    // found in the index
	tallies map[string]tally
	// holds and members are what the groups should count, memberships how many there are.
	holds       map[string]map[string]int
	members     map[string]int
	memberships int
	// expiries counts what expires.
	expiries int
	// named and joined count the links of the source that is looked at.
	named, joined int
}

func (c *checker) check() error {
	c.pages()
	var err error
	c.index, err = c.tx.claims()
	if c.failed(err); len(c.found) == 0 {
		c.users()
		c.strangers()
		c.released()
		c.origins()
		c.groups()
		c.expiring()
		c.letters()
		c.counters()
		c.revisions()
		c.results()
		c.runs()
	}
	if len(c.found) > violationLimit {
		c.found = append(c.found[:violationLimit], errEnough)
	}
	return errors.Join(c.found...)
}

func (c *checker) violated(format string, args ...any) {
	c.failed(fmt.Errorf(format, args...))
}

func (c *checker) failed(err error) {
	if err != nil && len(c.found) <= violationLimit {
		c.found = append(c.found, err)
	}
}

// pages asks bbolt, which keeps sending until all is read.
func (c *checker) pages() {
	for err := range c.tx.bolt.Check(bolt.WithKVStringer(bolt.HexKVStringer())) {
		c.failed(err)
	}
}

func (c *checker) users() {
	t := c.tx.table(usersBucket)
	c.failed(t.each(nil, func(key, value []byte) error {
		var u User
		if err := t.decode(key, value, &u); err != nil {
			c.failed(err)
			return nil
		}
		c.number = parseNumber(key)
		if n, err := c.index.get(idKey(u.ID)); err != nil || n != c.number {
			c.violated("user %s: lies under number %d, the index says %d (%v)", u.ID, c.number, n, err)
		} else {
			c.claims++
		}
		c.user(&u)
		return nil
	}))
}

func (c *checker) user(u *User) {
	c.name(u)
	c.state(u)
	for i, list := range u.List {
		c.list(u, listBase+Property(i), list)
	}
	c.userClaims(u)
	c.userOrigins(u)
	c.userGroups(u)
	c.userExpiry(u)
	c.count(everyone, 1, u.Active)
	if u.Administrator {
		c.count(administrators, 0, u.Active)
	}
	if u.Owner != "" {
		c.count(u.Owner, 0, u.Active)
	}
	for i, ref := range u.Origins {
		if i == 0 || u.Origins[i-1].Source != ref.Source {
			c.count(linkedTo(ref.Source), 0, u.Active)
		}
	}
}

// name checks rule U1.
func (c *checker) name(u *User) {
	name := u.Text[UserName]
	if n := utf8.RuneCountInString(name); n < 1 || n > 255 {
		c.violated("user %s: user name of %d characters", u.ID, n)
	}
	if !utf8.ValidString(name) || !norm.NFC.IsNormalString(name) || strings.TrimSpace(name) != name {
		c.violated("user %s: user name %q is not trimmed NFC", u.ID, name)
	}
}

// state checks rule U18.
func (c *checker) state(u *User) {
	if u.Active == (u.InactiveReason != "") {
		c.violated("user %s: active is %t and the reason for being inactive %q", u.ID, u.Active, u.InactiveReason)
	}
	if u.Active && u.Anonymized {
		c.violated("user %s: anonymized and active", u.ID)
	}
	owns := func(ref OriginRef) bool { return ref.Source == u.Owner }
	if u.Owner != "" && !slices.ContainsFunc(u.Origins, owns) {
		c.violated("user %s: owned by %s without an origin there", u.ID, u.Owner)
	}
}

// list checks that values are in order and that each has someone who put it there (U20).
func (c *checker) list(u *User, p Property, list []Value) {
	for i, v := range list {
		if v.V == "" || i > 0 && list[i-1].V >= v.V {
			c.violated("user %s: %s is not sorted or has an empty or repeated value, at %d", u.ID, p, i)
		}
		if len(v.Origins) == 0 || !ascending(v.Origins, strings.Compare) {
			c.violated("user %s: %s, value %d: origins %q are empty or not sorted", u.ID, p, i, v.Origins)
		}
	}
}

// userClaims checks that the index, or the list of what was released, knows the user's values.
func (c *checker) userClaims(u *User) {
	released := c.tx.released(u.ID)
	for _, claim := range Claims(u) {
		key := claimKey(claim)
		holder, err := c.index.get(key)
		c.failed(err)
		isReleased := slices.ContainsFunc(released, equal(key))
		switch {
		case holder == c.number && !isReleased:
			c.claims++
		case holder == c.number:
			c.violated("user %s: holds and has released %s", u.ID, claimText(key))
		case !isReleased:
			c.violated("user %s: %s belongs to user number %d in the index", u.ID, claimText(key), holder)
		}
	}
}

func (c *checker) userOrigins(u *User) {
	if !ascending(u.Origins, compareRefs) {
		c.violated("user %s: origins are not sorted", u.ID)
	}
	for _, ref := range u.Origins {
		o, err := c.tx.Origin(ref.Source, ref.Key)
		c.failed(err)
		if err == nil && (o == nil || o.User != u.ID) {
			c.violated("user %s: origin %s of %s is missing or linked to another user", u.ID, ref.Key, ref.Source)
		}
	}
}

// strangers names the index's entries that no user claims, when there are more entries than claims.
func (c *checker) strangers() {
	entries := 0
	c.failed(c.index.each(nil, func(_ []byte, _ uint64) error { entries++; return nil }))
	if entries == c.claims {
		return
	}
	c.failed(c.index.each(nil, func(key []byte, n uint64) error {
		u, err := c.tx.numbered(n)
		if err != nil || !claimsKey(u, key) {
			c.violated("index of claims: %s belongs to user number %d, who does not claim it (%v)", claimText(key), n, err)
		}
		return nil
	}))
}

// released checks that only a run which is being applied leaves released claims behind, and that
// they are claims of that user.
func (c *checker) released() {
	a, err := c.tx.Applying()
	c.failed(err)
	c.failed(c.tx.table(releasedBucket).each(nil, func(key, _ []byte) error {
		id, claim, _ := strings.Cut(string(key), "\x00")
		u, err := c.tx.User(id)
		c.failed(err)
		if a == nil {
			c.violated("user %s: released %s, and no run is being applied", id, claimText([]byte(claim)))
		}
		if err == nil && !claimsKey(u, []byte(claim)) {
			c.violated("user %s: released %s without claiming it", id, claimText([]byte(claim)))
		}
		return nil
	}))
}

func (c *checker) origins() {
	for _, source := range c.tx.folders(originsBucket) {
		waiting := 0
		c.named, c.joined = 0, 0
		t := c.tx.table(originsBucket, source)
		c.failed(t.each(nil, func(key, value []byte) error {
			o, err := decodeOrigin(t, key, value)
			if err != nil {
				c.failed(err)
				return nil
			}
			c.origin(source, Key(key), o, value)
			if o.Waiting {
				waiting++
			}
			return nil
		}))
		c.waiting(source, waiting)
		c.linkCounts(source)
	}
	for _, source := range c.tx.folders(waitingBucket) {
		if c.tx.table(originsBucket, source).bucket == nil {
			c.waiting(source, 0)
		}
	}
}

func (c *checker) origin(source string, k Key, o *Origin, value []byte) {
	if o.Hash() != k {
		c.violated("origin %s of %s: lies under another key than %q's", k, source, o.Key)
	}
	if value[0] != flagsOf(o) || Digest(value[1:originHead]) != o.Digest {
		c.violated("origin %s of %s: flags or digest in front differ from the origin's", k, source)
	}
	if listed := c.tx.table(waitingBucket, source).get(k[:]) != nil; o.Waiting && !listed {
		c.violated("origin %s of %s: waits and is not in the index", k, source)
	}
	if !o.Gone {
		c.count(source, 1, false)
	}
	c.links(source, k, o)
	if o.Holds != "" {
		c.keep(o.Holds, []string{source})
	}
	if o.User == "" {
		return
	}
	u, err := c.tx.User(o.User)
	c.failed(err)
	if err == nil && (u == nil || !slices.Contains(u.Origins, OriginRef{Source: source, Key: k})) {
		c.violated("origin %s of %s: user %s is missing or does not know it", k, source, o.User)
	}
}

func (c *checker) waiting(source string, want int) {
	n := 0
	c.failed(c.tx.table(waitingBucket, source).each(nil, func(_, _ []byte) error { n++; return nil }))
	if n != want {
		c.violated("source %s: %d origins in the index of waiting ones, %d wait", source, n, want)
	}
}

func (c *checker) counters() {
	t := c.tx.table(talliesBucket)
	c.failed(t.each(nil, func(key, value []byte) error {
		source := strings.TrimPrefix(string(key), ".")
		var stored tally
		c.failed(t.decode(key, value, &stored))
		if want := c.tallies[source]; stored != want {
			c.violated("counters of source %q: %d, %d active; counted %d, %d active", source, stored.All, stored.Active, want.All, want.Active)
		}
		delete(c.tallies, source)
		return nil
	}))
	for _, source := range slices.Sorted(maps.Keys(c.tallies)) {
		if c.tallies[source] != (tally{}) {
			c.violated("counters of source %q are missing", source)
		}
	}
}

// revisions checks that they follow each other from the last one dropped to the head.
func (c *checker) revisions() {
	var end, head chainEnd
	c.failed(errors.Join(c.tx.meta(metaDropped, &end), c.tx.meta(metaHead, &head)))
	t := c.tx.table(revisionsBucket)
	c.failed(t.each(nil, func(key, value []byte) error {
		var r Revision
		if err := t.decode(key, value, &r); err != nil {
			return err
		}
		if r.Number != parseNumber(key) || r.Number != end.Number+1 || r.Chain != ChainOf(end.Chain, r.Body) {
			c.violated("revision %d, chain %s: does not follow %d, chain %s", r.Number, r.Chain, end.Number, end.Chain)
		}
		end = chainEnd{Number: r.Number, Chain: r.Chain}
		return nil
	}))
	if end != head {
		c.violated("revisions end at %d, chain %s, the head is %d, chain %s", end.Number, end.Chain, head.Number, head.Chain)
	}
}

func (c *checker) results() {
	var last uint64
	c.failed(c.tx.meta(metaResult, &last))
	t := c.tx.table(resultsBucket)
	c.failed(t.each(nil, func(key, value []byte) error {
		var r Result
		c.failed(t.decode(key, value, &r))
		if r.Number != parseNumber(key) || r.Number > last {
			c.violated("result %d: lies under %s, the last one is %d", r.Number, keyText(key), last)
		}
		return nil
	}))
}

// runs checks that runs lie under their numbers and that plans have a run.
func (c *checker) runs() {
	c.failed(c.tx.Runs("", 0, func(r *Run) error {
		if stored, err := c.tx.Run(r.Source, r.Number); err != nil || stored == nil {
			c.violated("run %d of %s: lies elsewhere", r.Number, r.Source)
		}
		return nil
	}))
	plans, err := c.tx.Plans()
	c.failed(err)
	for _, p := range plans {
		r, err := c.tx.Run(p.Source, p.Run)
		c.failed(err)
		if err == nil && r == nil {
			c.violated("plan of run %d of %s: there is no such run", p.Run, p.Source)
		}
		c.failed(c.tx.Plan(p.Source, p.Run, nil, func(_, _ []byte) error { return nil }))
	}
}

func (c *checker) count(source string, all int, active bool) {
	t := c.tallies[source]
	t.All += all
	if active {
		t.Active++
	}
	c.tallies[source] = t
}

// claimsKey reports whether u claims the value of an index key.
func claimsKey(u *User, key []byte) bool {
	if u != nil && string(idKey(u.ID)) == string(key) {
		return true
	}
	return u != nil && slices.ContainsFunc(Claims(u), func(c Claim) bool {
		return string(claimKey(c)) == string(key)
	})
}

// claimText names an index key and keeps a PIN's hash to itself.
func claimText(key []byte) string {
	if len(key) == 0 {
		return "nothing"
	}
	switch Space(key[0]) {
	case PINHashes:
		return "a PIN"
	case ids:
		return fmt.Sprintf("the id %q", key[1:])
	}
	return fmt.Sprintf("%s %q", Space(key[0]), key[1:])
}

func compareRefs(a, b OriginRef) int {
	return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(string(a.Key[:]), string(b.Key[:])))
}

// ascending reports whether each element is greater than the one before it.
func ascending[E any](s []E, compare func(a, b E) int) bool {
	for i := 1; i < len(s); i++ {
		if compare(s[i-1], s[i]) >= 0 {
			return false
		}
	}
	return true
}
