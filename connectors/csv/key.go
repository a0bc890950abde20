package csv

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
)

// sighting is a row's key as a hash.
type sighting struct {
	hash uint64
	at   place
}

// place is the number of a file and a line in it.
type place struct{ file, line int32 }

// twins are the keys that several rows have: the places of each, by the key's hash.
type twins struct {
	seed   maphash.Seed
	files  files
	places map[uint64][]place
}

// findTwins judges every row of the files and looks for keys that occur twice.
func findTwins(ctx context.Context, all files) (twins, error) {
	t := twins{maphash.MakeSeed(), all, map[uint64][]place{}}
	parts := make([][]sighting, len(all))
	err := all.read(ctx, func(ctx context.Context, f *file) error {
		_, err := f.scan(ctx, func(j *judge, r *rows, _ judgement) error {
			parts[f.number] = append(parts[f.number], sighting{maphash.Bytes(t.seed, j.key), place{f.number, int32(r.first)}})
			return nil
		})
		return err
	})
	if err != nil {
		return t, err
	}
	seen := parts[0]
	for _, part := range parts[1:] {
		seen = append(seen, part...)
	}
	slices.SortFunc(seen, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line))
	})
	for i := 1; i < len(seen); i++ {
		if h := seen[i].hash; h == seen[i-1].hash {
			if t.places[h] == nil {
				t.places[h] = []place{seen[i-1].at}
			}
			t.places[h] = append(t.places[h], seen[i].at)
		}
	}
	return t, nil
}

// of returns the places that have the key, nil if it is one only.
func (t twins) of(key []byte) []place {
	if len(t.places) == 0 {
		return nil
	}
	return t.places[maphash.Bytes(t.seed, key)]
}

// sentence names the places: lines, of files where there are several.
func (t twins) sentence(places []place, key string) string {
	words, lines := "lines ", make([]string, len(places))
	if len(t.files) > 1 {
		words = ""
	}
	for i, at := range places {
		lines[i] = t.name(at)
	}
	kind, name, _ := strings.Cut(key, ":")
	if kind == "ext" {
		name = externalID + " " + name
	}
	if len(lines) == 2 {
		return fmt.Sprintf("%s%s and %s are both %s", words, lines[0], lines[1], name)
	}
	const most = 5
	if more := len(lines) - most; more > 0 {
		return fmt.Sprintf("%s%s and %d more are all %s", words, strings.Join(lines[:most], ", "), more, name)
	}
	last := len(lines) - 1
	return fmt.Sprintf("%s%s and %s are all %s", words, strings.Join(lines[:last], ", "), lines[last], name)
}

func (t twins) name(at place) string {
	if len(t.files) > 1 {
		return fmt.Sprintf("%s:%d", t.files[at.file].label, at.line)
	}
	return fmt.Sprint(at.line)
}

// index holds the keys of a file as sorted hashes. Two keys of one hash would make an absent entry look
// present, which keeps it.
type index struct {
	seed   maphash.Seed
	hashes []uint64
	// ragged are the rows of which nobody knows where the key stands, folded.
	ragged []string
	size   int // of ragged
}

func readIndex(ctx context.Context, f *file) (*index, error) {
	x := &index{seed: maphash.MakeSeed()}
	_, err := f.scan(ctx, func(j *judge, r *rows, v judgement) error {
		x.hashes = append(x.hashes, maphash.Bytes(x.seed, j.key))
		if v.ragged {
			return x.addRagged(r)
		}
		return nil
	})
	slices.Sort(x.hashes)
	return x, err
}

// addRagged keeps the row's text. So much of it that it should not be kept is no file to call a roll with.
func (x *index) addRagged(r *rows) error {
	cells := make([]string, len(r.cells))
	for i := range cells {
		cells[i] = string(r.cell(i))
	}
	text := loose(strings.Join(cells, string(rune(r.comma))))
	x.ragged = append(x.ragged, text)
	if x.size += len(text); x.size > maxRow {
		err := fmt.Errorf("%s:%d: too many rows have too many or too few cells to say who is missing: %w", r.file, r.first, connectors.ErrIncomplete)
		return connectors.Hint(err, "Try to put cells with a delimiter in them in quotation marks.")
	}
	return nil
}

// has reports whether a row has the key, or may have had it before its cells moved.
func (x *index) has(key string) bool {
	if _, found := slices.BinarySearch(x.hashes, maphash.String(x.seed, key)); found {
		return true
	}
	if len(x.ragged) == 0 {
		return false
	}
	kind, text, _ := strings.Cut(key, ":")
	if text = loose(text); text == "" || kind != "key" && kind != "ext" && kind != "name" {
		return false
	}
	return slices.ContainsFunc(x.ragged, func(row string) bool { return strings.Contains(row, text) })
}

// loose is the form in which a key is looked for in a row: folded, without escapes.
func loose(text string) string {
	return cases.Fold().String(norm.NFC.String(strings.ReplaceAll(text, `\`, "")))
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
