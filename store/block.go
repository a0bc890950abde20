package store

import (
	"encoding/binary"
	"errors"
	"sort"
)

// blockSize says how many entries make a difference to an [index].
type blockSize struct {
	limit int // entries that rest in the block
	worth int // changes in a transaction for which the block is worth being written
	drain int // entries that a smaller transaction moves out of the block
}

// blockSizeMeasured is what BenchmarkFirstLoad likes best.
var blockSizeMeasured = blockSize{limit: 1 << 16, worth: 1 << 9, drain: 1 << 12}

var errBadBlock = errors.New("is no block of an index")

// block is a sorted list of entries as it lies in the file: how many there are and the length of the
// sweep key (4 bytes each), the sweep key, for each entry its number (8 bytes) and its key, and where
// each entry ends (4 bytes each).
type block struct {
	count   int
	entries []byte
	ends    []byte
	// sweep is the last key that was moved to the bucket.
	sweep []byte
}

// entry is a key with its number, 0 for one that was deleted.
type entry struct {
	key    []byte
	number uint64
}

// parseBlock reads a block, whose entries it does not copy. No value is no block.
func parseBlock(value []byte) (b block, err error) {
	if value == nil {
		return b, nil
	}
	if len(value) < 8 {
		return b, errBadBlock
	}
	count, sweep := int(binary.LittleEndian.Uint32(value)), int(binary.LittleEndian.Uint32(value[4:]))
	value = value[8:]
	if len(value) < 4*count+sweep {
		return b, errBadBlock
	}
	ends := len(value) - 4*count
	b = block{count: count, sweep: value[:sweep], entries: value[sweep:ends], ends: value[ends:]}
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

func (b block) at(i int) entry {
	e := b.entries[b.start(i):b.end(i)]
	return entry{key: e[8:], number: binary.LittleEndian.Uint64(e)}
}

func (b block) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.end(i - 1)
}

func (b block) end(i int) int { return int(binary.LittleEndian.Uint32(b.ends[4*i:])) }

// find returns where key is, or would be.
func (b block) find(key []byte) (i int, found bool) {
	i = sort.Search(b.count, func(i int) bool { return string(b.at(i).key) >= string(key) })
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

// seek is find from a place on, for a key that is expected to be near.
func (b block) seek(from int, key string) int {
	low, step := from, 8
	for from+step < b.count && string(b.at(from+step).key) < key {
		low, step = from+step, 2*step
	}
	high := min(from+step, b.count)
	return low + sort.Search(high-low, func(i int) bool { return string(b.at(low+i).key) >= key })
}

// cut is what is taken out of a block: a range at its beginning and one further on, either may be
// empty.
type cut [2]span

type span struct{ from, to int }

// cut takes n entries, going on where the last cut ended and from the end to the beginning, so that
// every range of keys has the same time to fill.
func (b block) cut(n int) cut {
	n = min(max(n, 0), b.count)
	start := b.behind(b.sweep)
	end := min(start+n, b.count)
	return cut{{0, n - (end - start)}, {start, end}}
}

func (c cut) length() int { return c[0].to + c[1].to - c[1].from }

// sweep returns the last key that is cut from b.
func (c cut) sweep(b block) []byte {
	switch {
	case c[0].to > 0:
		return b.at(c[0].to - 1).key
	case c[1].to > c[1].from:
		return b.at(c[1].to - 1).key
	}
	return b.sweep
}

// builder makes a block from parts of another one and new entries, in order.
type builder struct {
	value []byte
	head  int // where the entries begin in value
	ends  []byte
}

func newBuilder(sweep []byte, old block, more int) *builder {
	b := &builder{head: 8 + len(sweep), ends: make([]byte, 0, len(old.ends)+4*more)}
	b.value = make([]byte, 8, b.head+len(old.entries)+48*more+cap(b.ends))
	binary.LittleEndian.PutUint32(b.value[4:], uint32(len(sweep)))
	b.value = append(b.value, sweep...)
	return b
}

// copy adds a range of a block except what is cut from it.
func (b *builder) copy(old block, c cut, from, to int) {
	b.copyAll(old, max(from, c[0].to), min(to, c[1].from))
	b.copyAll(old, max(from, c[1].to), to)
}

func (b *builder) copyAll(old block, from, to int) {
	if from >= to {
		return
	}
	shift := len(b.value) - b.head - old.start(from)
	b.value = append(b.value, old.entries[old.start(from):old.end(to-1)]...)
	for i := from; i < to; i++ {
		b.ends = binary.LittleEndian.AppendUint32(b.ends, uint32(old.end(i)+shift))
	}
}

func (b *builder) add(key string, n uint64) {
	b.value = append(binary.LittleEndian.AppendUint64(b.value, n), key...)
	b.ends = binary.LittleEndian.AppendUint32(b.ends, uint32(len(b.value)-b.head))
}

// finish returns the block's bytes. The builder is of no use after that.
func (b *builder) finish() []byte {
	binary.LittleEndian.PutUint32(b.value, uint32(len(b.ends)/4))
	return append(b.value, b.ends...)
}
