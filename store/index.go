package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// blockKey is where a block lies in its bucket, which holds nothing else: bbolt writes neighbours too.
var blockKey = []byte("block")

var errBadNumber = errors.New("is no number")

// index maps keys in any order to numbers above zero. Keys in any order are bbolt's worst case: each
// costs a page, and a new user has five. So what a large transaction adds goes to one sorted block in
// front of the bucket, written as a single value, and from a full block a range of neighbouring keys
// moves on to the bucket, many to a page.
type index struct {
	bucket *table
	// front holds the block.
	front *table
	block block
	size  blockSize
	// held are the transaction's own changes, 0 for deletions.
	held map[string]uint64
}

func newIndex(bucket, front *table) (*index, error) {
	x := &index{bucket: bucket, front: front, size: blockSizeMeasured, held: map[string]uint64{}}
	value := front.get(blockKey)
	var err error
	if x.block, err = parseBlock(value); err != nil {
		return nil, front.bad(blockKey, err)
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
		newer, _ = parseBlock(x.renew(cut{}))
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
	small := len(x.held) < x.size.worth
	moved := x.block.cut(x.block.count + len(x.held) - x.size.limit)
	if small {
		moved = x.block.cut(x.size.drain)
	}
	if err := x.move(moved); err != nil {
		return err
	}
	if small && moved.length() == x.block.count {
		return x.writeThrough()
	}
	return x.setBlock(x.renew(moved))
}

// move writes a part of the block to the bucket.
func (x *index) move(c cut) error {
	for _, part := range c {
		for i := part.from; i < part.to; i++ {
			e := x.block.at(i)
			if err := x.write(e.key, e.number); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeThrough writes the transaction's changes to the bucket, for want of a block.
func (x *index) writeThrough() error {
	for _, key := range slices.Sorted(maps.Keys(x.held)) {
		if err := x.write([]byte(key), x.held[key]); err != nil {
			return err
		}
	}
	clear(x.held)
	return x.setBlock(nil)
}

// renew returns the block without a part, with the transaction's changes.
func (x *index) renew(c cut) []byte {
	old, b := x.block, newBuilder(c.sweep(x.block), x.block, len(x.held))
	next := 0
	for _, key := range slices.Sorted(maps.Keys(x.held)) {
		i := old.seek(next, key)
		b.copy(old, c, next, i)
		b.add(key, x.held[key])
		if next = i; i < old.count && string(old.at(i).key) == key {
			next++
		}
	}
	b.copy(old, c, next, old.count)
	return b.finish()
}

func (x *index) setBlock(value []byte) (err error) {
	if value == nil {
		if x.block.count == 0 {
			return nil
		}
		x.block = block{}
		return x.front.delete(blockKey)
	}
	clear(x.held)
	if x.block, err = parseBlock(value); err != nil {
		return err
	}
	return x.front.put(blockKey, value)
}

func (x *index) write(key []byte, n uint64) error {
	if n == 0 {
		return x.bucket.delete(key)
	}
	return x.bucket.put(key, shortNumber(n))
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
