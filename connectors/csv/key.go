package csv

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// sighting is a row's key as a hash.
type sighting struct {
	hash uint64
	line int
}

// twins are the keys that several rows have: the lines of each, by the key's hash.
type twins struct {
	seed  maphash.Seed
	lines map[uint64][]int
}

// findTwins judges every row of the file and looks for keys that occur twice.
func findTwins(ctx context.Context, f *file) (twins, error) {
	t := twins{maphash.MakeSeed(), map[uint64][]int{}}
	var seen []sighting
	_, err := f.scan(ctx, func(j *judge, r *rows, _ judgement) error {
		seen = append(seen, sighting{maphash.Bytes(t.seed, j.key), r.first})
		return nil
	})
	if err != nil {
		return t, err
	}
	slices.SortFunc(seen, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.line, b.line))
	})
	for i := 1; i < len(seen); i++ {
		if h := seen[i].hash; h == seen[i-1].hash {
			if t.lines[h] == nil {
				t.lines[h] = []int{seen[i-1].line}
			}
			t.lines[h] = append(t.lines[h], seen[i].line)
		}
	}
	return t, nil
}

// of returns the lines that have the key, nil if it is one only.
func (t twins) of(key []byte) []int {
	if len(t.lines) == 0 {
		return nil
	}
	return t.lines[maphash.Bytes(t.seed, key)]
}

// sentence names the lines.
func sentence(lines []int, key string) string {
	_, name, _ := strings.Cut(key, ":")
	if len(lines) == 2 {
		return fmt.Sprintf("lines %d and %d are both %s", lines[0], lines[1], name)
	}
	const most = 5
	texts := make([]string, 0, most)
	for _, line := range lines[:min(most, len(lines))] {
		texts = append(texts, fmt.Sprint(line))
	}
	if more := len(lines) - most; more > 0 {
		return fmt.Sprintf("lines %s and %d more are all %s", strings.Join(texts, ", "), more, name)
	}
	last := len(texts) - 1
	return fmt.Sprintf("lines %s and %s are all %s", strings.Join(texts[:last], ", "), texts[last], name)
}

// index holds the keys of a file as sorted hashes. Two keys of one hash would make an absent entry look
// present, which keeps it.
type index struct {
	seed   maphash.Seed
	hashes []uint64
}

func readIndex(ctx context.Context, f *file) (index, error) {
	x := index{seed: maphash.MakeSeed()}
	_, err := f.scan(ctx, func(j *judge, r *rows, v judgement) error {
		x.add(j.key)
		if v.ragged {
			x.addRagged(j, r)
		}
		return nil
	})
	slices.Sort(x.hashes)
	return x, err
}

func (x *index) add(key []byte) { x.hashes = append(x.hashes, maphash.Bytes(x.seed, key)) }

// addRagged adds each cell as what it would be in the key's place: the real key may be any of them.
func (x *index) addRagged(j *judge, r *rows) {
	for i := range r.cells {
		cell := bytes.TrimSpace(r.cell(i))
		x.add(append([]byte("key:"), cell...))
		x.add(append([]byte("ext:"), cell...))
		if j.nameKey(cell) {
			x.add(j.key)
		}
	}
}

func (x *index) has(key string) bool {
	_, found := slices.BinarySearch(x.hashes, maphash.String(x.seed, key))
	return found
}

// keyRule says what a row is known by.
func (l *layout) keyRule() string {
	switch {
	case l.ownKey >= 0:
		return l.names[l.ownKey]
	case l.externalID >= 0 && l.userNames >= 0:
		return externalID + " where it is filled, else by the first of " + userNames
	case l.externalID >= 0:
		return externalID
	}
	return "the first of " + userNames
}
