package store

import (
	"maps"
	"slices"
)

// groups checks that groups, their indexes and their members follow from users and origins, and from nothing else.
func (c *checker) groups() {
	found := 0
	c.failed(c.tx.table(groupsBucket).each(nil, func(key, value []byte) error {
		var g Group
		if err := c.tx.table(groupsBucket).decode(key, value, &g); err != nil {
			c.failed(err)
			return nil
		}
		found++
		c.group(parseNumber(key), &g)
		return nil
	}))
	for _, bucket := range []string{groupPathsBucket, groupIDsBucket} {
		n := 0
		c.failed(c.tx.table(bucket).each(nil, func(_, _ []byte) error { n++; return nil }))
		if n != found {
			c.violated("%s: %d entries for %d groups", bucket, n, found)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(c.holds)) {
		if len(c.holds[path]) > 0 {
			c.violated("group %q: somebody is in it, and it is not there", path)
		}
	}
	members := 0
	c.failed(c.tx.table(membersBucket).each(nil, func(_, _ []byte) error { members++; return nil }))
	if members != c.memberships {
		c.violated("%d members of groups are in the index, %d users are in groups", members, c.memberships)
	}
	c.failed(c.tx.table(regroupBucket).each(nil, func(key, _ []byte) error {
		if n := parseNumber(key[:min(8, len(key))]); n != 0 && c.tx.table(groupsBucket).get(number(n)) == nil {
			c.violated("group number %d: changed and is not there", n)
		}
		return nil
	}))
}

func (c *checker) group(n uint64, g *Group) {
	if parseNumber(c.tx.table(groupPathsBucket).get(pathKey(g.Path))) != n || parseNumber(c.tx.table(groupIDsBucket).get([]byte(g.ID))) != n {
		c.violated("group %q: lies under number %d, and an index says something else", g.Path, n)
	}
	if !maps.Equal(g.Holds, c.holds[g.Path]) && len(g.Holds)+len(c.holds[g.Path]) > 0 {
		c.violated("group %q: kept by %v, counted %v", g.Path, g.Holds, c.holds[g.Path])
	}
	if g.Members != c.members[g.Path] {
		c.violated("group %q: %d members, counted %d", g.Path, g.Members, c.members[g.Path])
	}
	waits := c.tx.table(regroupBucket).get(number(n)) != nil
	if len(g.Holds) == 0 && !waits {
		c.violated("group %q: nobody keeps it", g.Path)
	}
	if g.Revision == 0 && !waits {
		c.violated("group %q: has no revision and does not wait for one", g.Path)
	}
	delete(c.holds, g.Path)
}

// userGroups counts what a user keeps, and finds him in the index of members.
func (c *checker) userGroups(u *User) {
	for _, v := range Memberships(u) {
		if v.V == "" || len(v.Origins) == 0 {
			continue // named by list
		}
		c.memberships++
		c.members[v.V]++
		c.keep(v.V, v.Origins)
		s, err := c.tx.groupAt(v.V)
		c.failed(err)
		if err == nil && (s == nil || c.tx.table(membersBucket).get(memberKey(s.number, c.number)) == nil) {
			c.violated("user %s: group %q does not know him", u.ID, v.V)
		}
	}
}

// keep counts holds of a group, and of those above it when it is the first of an origin.
func (c *checker) keep(path string, origins []string) {
	if c.holds[path] == nil {
		c.holds[path] = map[string]int{}
	}
	for _, origin := range origins {
		c.holds[path][origin]++
		if parent := ParentOf(path); parent != "" && c.holds[path][origin] == 1 {
			c.keep(parent, []string{origin})
		}
	}
}

// links finds an entry's names and members in their indexes.
func (c *checker) links(source string, k Key, o *Origin) {
	for _, index := range []struct {
		bucket string
		keys   []Key
		count  *int
	}{{namedBucket, o.Names, &c.named}, {joinedBucket, o.Members, &c.joined}} {
		if !ascending(index.keys, compareKeys) {
			c.violated("origin %s of %s: %s keys are not sorted", k, source, index.bucket)
		}
		for _, name := range index.keys {
			*index.count++
			if c.tx.table(index.bucket, source).get(linkKey(name, k)) == nil {
				c.violated("origin %s of %s: not in the index %s", k, source, index.bucket)
			}
		}
	}
}

func (c *checker) linkCounts(source string) {
	for bucket, want := range map[string]int{namedBucket: c.named, joinedBucket: c.joined} {
		n := 0
		c.failed(c.tx.table(bucket, source).each(nil, func(_, _ []byte) error { n++; return nil }))
		if n != want {
			c.violated("source %s: %d entries in the index %s, %d in origins", source, n, bucket, want)
		}
	}
}
