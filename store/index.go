package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sort"
)

// blockSize says how many entries make a difference to an [index].
type blockSize struct {
	limit int // entries that rest in the block
	worth int // changes in a transaction for which the block is worth being written
	drain int // entries that a smaller transaction moves out of the block
}

// blockSizeMeasured is what BenchmarkFirstLoad likes best.
var blockSizeMeasured = blockSize{limit: 1 << 17, worth: 1 << 9, drain: 1 << 12}

var (
	errBadNumber = errors.New("is no number")
	errBadBlock  = errors.New("is no block of an index")
)

// index maps keys in any order to numbers above zero. Keys in any order are bbolt's worst case: each
// costs a page, and a new user has five. So what a large transaction adds goes to one sorted block in
// front of the bucket, written as a single value, and from a full block a range of neighbouring keys
// moves on to the bucket, many to a page.
type index struct {
	bucket *table
	// front holds the block, under the bucket's name.
	front *table
	block block
	size  blockSize
	// held are the transaction's own changes, 0 for deletions.
	held map[string]uint64
}

// entry is a key with its number, 0 for one that was deleted.
type entry struct {
	key    []byte
	number uint64
}

func newIndex(bucket, front *table) (*index, error) {
	x := &index{bucket: bucket, front: front, size: blockSizeMeasured, held: map[string]uint64{}}
	value := front.get([]byte(bucket.name))
	var err error
	if x.block, err = parseBlock(value); err != nil {
		return nil, front.bad([]byte(bucket.name), err)
	}
	return x, nil
}

// get returns the number of key, 0 for none.
func (x *index) get(key []byte) (uint64, error) {
	if n, ok := x.held[string(key)]; ok {
		return n, nil
	}
	if i, found := x.block.find(key); found {
		return x.block.at(i).number, nil
	}
	value := x.bucket.get(key)
	if value == nil {
		return 0, nil
	}
	return x.parse(key, value)
}

func (x *index) put(key []byte, n uint64) { x.held[string(key)] = n }

func (x *index) delete(key []byte) { x.held[string(key)] = 0 }

// each calls fn for every key behind after and its number, in the order of keys, until fn returns an
// error. ErrStop is none. fn must not write to the index.
func (x *index) each(after []byte, fn func(key []byte, n uint64) error) error {
	newer := x.block
	if len(x.held) > 0 {
		newer, _ = parseBlock(encodeBlock(nil, x.newer()))
	}
	m := &merge{block: newer, next: newer.behind(after), fn: fn}
	err := x.bucket.scan(after, func(key, value []byte) error {
		n, err := x.parse(key, value)
		if err != nil {
			return err
		}
		return m.entry(key, n)
	})
	if err == nil {
		err = m.rest()
	}
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// flush writes the transaction's changes.
func (x *index) flush() error {
	if len(x.held) == 0 {
		return nil
	}
	all := x.newer()
	rest := x.size.limit
	if len(x.held) < x.size.worth {
		rest = max(0, x.block.count-x.size.drain)
	}
	all, sweep, err := x.move(all, len(all)-rest)
	if err != nil {
		return err
	}
	clear(x.held)
	name := []byte(x.bucket.name)
	if len(all) == 0 {
		x.block = block{}
		return x.front.delete(name)
	}
	value := encodeBlock(sweep, all)
	if x.block, err = parseBlock(value); err != nil {
		return err
	}
	return x.front.put(name, value)
}

// newer returns the block with the transaction's changes, sorted.
func (x *index) newer() []entry {
	all := make([]entry, 0, x.block.count+len(x.held))
	i := 0
	for _, key := range slices.Sorted(maps.Keys(x.held)) {
		for ; i < x.block.count; i++ {
			e := x.block.at(i)
			if order := cmp.Compare(string(e.key), key); order > 0 {
				break
			} else if order < 0 {
				all = append(all, e)
			}
		}
		all = append(all, entry{[]byte(key), x.held[key]})
	}
	for ; i < x.block.count; i++ {
		all = append(all, x.block.at(i))
	}
	return all
}

// move writes n of the entries to the bucket and returns the others. It goes on where the last one
// ended, from the end to the beginning, so that every range of keys has the same time to fill.
func (x *index) move(all []entry, n int) (rest []entry, sweep []byte, err error) {
	if n <= 0 {
		return all, x.block.sweep, nil
	}
	start := sort.Search(len(all), func(i int) bool { return string(all[i].key) > string(x.block.sweep) })
	end := min(start+n, len(all))
	wrapped := n - (end - start)
	for _, part := range [][]entry{all[:wrapped], all[start:end]} {
		for _, e := range part {
			if err := x.write(e); err != nil {
				return nil, nil, err
			}
			sweep = e.key
		}
	}
	if wrapped > 0 {
		sweep = all[wrapped-1].key
	}
	return append(all[wrapped:start:start], all[end:]...), sweep, nil
}

func (x *index) write(e entry) error {
	if e.number == 0 {
		return x.bucket.delete(e.key)
	}
	return x.bucket.put(e.key, shortNumber(e.number))
}

func (x *index) parse(key, value []byte) (uint64, error) {
	if len(value) == 0 || len(value) > 8 {
		return 0, x.bucket.bad(key, errBadNumber)
	}
	var eight [8]byte
	copy(eight[8-len(value):], value)
	return binary.BigEndian.Uint64(eight[:]), nil
}

// shortNumber returns n big-endian without leading zeros.
func shortNumber(n uint64) []byte {
	b := number(n)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// block is a sorted list of entries as it lies in the file: the number of entries and the length of
// the sweep key (4 bytes each), the end of each entry (4 bytes each), the sweep key, and for each
// entry its number (8 bytes) and its key.
type block struct {
	count   int
	ends    []byte
	entries []byte
	// sweep is the last key that was moved to the bucket.
	sweep []byte
}

func parseBlock(value []byte) (b block, err error) {
	if value == nil {
		return b, nil
	}
	if len(value) < 8 {
		return b, errBadBlock
	}
	count, sweep := int(binary.BigEndian.Uint32(value)), int(binary.BigEndian.Uint32(value[4:]))
	value = value[8:]
	if len(value) < 4*count+sweep {
		return b, errBadBlock
	}
	b = block{count: count, ends: value[:4*count], sweep: value[4*count : 4*count+sweep], entries: value[4*count+sweep:]}
	return b, b.valid()
}

// valid reports whether each entry has its number and lies behind the one before.
func (b block) valid() error {
	end := 0
	for i := range b.count {
		if b.end(i) < end+8 {
			return errBadBlock
		}
		end = b.end(i)
	}
	if end != len(b.entries) {
		return errBadBlock
	}
	return nil
}

func encodeBlock(sweep []byte, all []entry) []byte {
	size := 8 + len(sweep) + 12*len(all)
	for _, e := range all {
		size += len(e.key)
	}
	value := make([]byte, 0, size)
	value = binary.BigEndian.AppendUint32(value, uint32(len(all)))
	value = binary.BigEndian.AppendUint32(value, uint32(len(sweep)))
	end := 0
	for _, e := range all {
		end += 8 + len(e.key)
		value = binary.BigEndian.AppendUint32(value, uint32(end))
	}
	value = append(value, sweep...)
	for _, e := range all {
		value = append(binary.BigEndian.AppendUint64(value, e.number), e.key...)
	}
	return value
}

func (b block) end(i int) int { return int(binary.BigEndian.Uint32(b.ends[4*i:])) }

func (b block) at(i int) entry {
	start := 0
	if i > 0 {
		start = b.end(i - 1)
	}
	e := b.entries[start:b.end(i)]
	return entry{key: e[8:], number: binary.BigEndian.Uint64(e)}
}

// find returns where key is, or would be, in the block.
func (b block) find(key []byte) (int, bool) {
	i := sort.Search(b.count, func(i int) bool { return string(b.at(i).key) >= string(key) })
	return i, i < b.count && string(b.at(i).key) == string(key)
}

// behind returns where the entries behind a key begin.
func (b block) behind(key []byte) int {
	i, found := b.find(key)
	if found {
		i++
	}
	return i
}

// merge calls fn for the entries of a bucket and the newer ones of a block, in the order of keys.
type merge struct {
	block block
	next  int
	fn    func(key []byte, n uint64) error
}

// entry passes on an entry of the bucket, unless the block knows better, and those before it.
func (m *merge) entry(key []byte, n uint64) error {
	for ; m.next < m.block.count; m.next++ {
		e := m.block.at(m.next)
		order := cmp.Compare(string(e.key), string(key))
		if order == 0 {
			return nil
		}
		if order > 0 {
			break
		}
		if err := m.newer(e); err != nil {
			return err
		}
	}
	return m.fn(key, n)
}

// rest passes on what is left of the block.
func (m *merge) rest() error {
	for ; m.next < m.block.count; m.next++ {
		if err := m.newer(m.block.at(m.next)); err != nil {
			return err
		}
	}
	return nil
}

func (m *merge) newer(e entry) error {
	if e.number == 0 {
		return nil
	}
	return m.fn(e.key, e.number)
}
