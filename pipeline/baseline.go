package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"rollcall/store"
)

// baseline is what has been applied of a source: for every entry the digest of its record. 32 bytes an entry.
type baseline struct {
	source  store.Source
	entries []store.BaselineEntry // sorted by key
	seen    []uint64              // a bit per entry
	// fresh are the entries that the run told of and nobody knew.
	fresh map[store.Key]store.Digest
}

// errMovedOn means that a run was applied while the pages of the baseline were fetched.
var errMovedOn = errors.New("another run of the source was applied meanwhile")

// fetchBaseline asks the store for the source's baseline, all pages of one applied run.
func fetchBaseline(ctx context.Context, c *Client, source string) (*baseline, error) {
	for {
		b, err := fetchBaselineOnce(ctx, c, source)
		if !errors.Is(err, errMovedOn) {
			return b, err
		}
	}
}

func fetchBaselineOnce(ctx context.Context, c *Client, source string) (*baseline, error) {
	state, err := c.source(ctx, source)
	if err != nil {
		return nil, err
	}
	b := &baseline{source: state, entries: make([]store.BaselineEntry, 0, state.Entries)}
	var after store.Key
	for more := true; more; {
		var page []store.BaselineEntry
		var applied uint64
		page, applied, more, err = c.baseline(ctx, source, after)
		if err != nil {
			return nil, err
		}
		if applied != state.Applied {
			return nil, errMovedOn
		}
		if len(page) > 0 {
			after = page[len(page)-1].Key
		}
		b.entries = append(b.entries, page...)
	}
	b.seen, b.fresh = make([]uint64, len(b.entries)/64+1), map[store.Key]store.Digest{}
	return b, nil
}

// said is what was known of an entry before it was told of once more.
type said struct {
	digest store.Digest
	// known is false for an entry that was never heard of; first is true when this run tells of it for the first time.
	known, first bool
}

// say notes what the run says of an entry and returns what was known before.
func (b *baseline) say(key store.Key, digest store.Digest) said {
	i, known := b.find(key)
	if !known {
		before, again := b.fresh[key]
		b.fresh[key] = digest
		return said{before, again, !again}
	}
	e, bit := &b.entries[i], uint64(1)<<(i%64)
	before := said{e.Digest, true, b.seen[i/64]&bit == 0}
	b.seen[i/64] |= bit
	if e.Digest != store.TombstoneDigest() {
		e.Digest = digest
	}
	return before
}

// sight marks an entry as seen and returns its digest, the zero digest for an unknown one.
func (b *baseline) sight(key store.Key) store.Digest {
	i, known := b.find(key)
	if !known {
		return store.Digest{}
	}
	b.seen[i/64] |= 1 << (i % 64)
	return b.entries[i].Digest
}

func (b *baseline) find(key store.Key) (i int, known bool) {
	i = sort.Search(len(b.entries), func(i int) bool { return bytes.Compare(b.entries[i].Key[:], key[:]) >= 0 })
	return i, i < len(b.entries) && b.entries[i].Key == key
}

// unseen calls fn for every entry that was not seen, in the order of keys.
func (b *baseline) unseen(fn func(store.BaselineEntry)) {
	for i, e := range b.entries {
		if b.seen[i/64]&(1<<(i%64)) == 0 {
			fn(e)
		}
	}
}

// baselinePage is how many entries one answer holds: under 512 KiB.
const baselinePage = 16000

// encodeBaselinePage writes a page for the wire: the applied run's number, a byte for "more", 32 bytes an entry.
func encodeBaselinePage(applied uint64, page []store.BaselineEntry, more bool) []byte {
	data := binary.BigEndian.AppendUint64(make([]byte, 0, 9+32*len(page)), applied)
	data = append(data, 0)
	if more {
		data[8] = 1
	}
	for _, e := range page {
		data = append(data, e.Key[:]...)
		data = append(data, e.Digest[:]...)
	}
	return data
}

func decodeBaselinePage(data []byte) (page []store.BaselineEntry, applied uint64, more bool, err error) {
	if len(data) < 9 || (len(data)-9)%32 != 0 {
		return nil, 0, false, fmt.Errorf("baseline: answer of %d bytes", len(data))
	}
	applied, more = binary.BigEndian.Uint64(data), data[8] == 1
	page = make([]store.BaselineEntry, (len(data)-9)/32)
	for i, rest := 0, data[9:]; i < len(page); i, rest = i+1, rest[32:] {
		page[i] = store.BaselineEntry{Key: store.Key(rest[:16]), Digest: store.Digest(rest[16:32])}
	}
	return page, applied, more, nil
}
