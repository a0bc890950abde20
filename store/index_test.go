package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// TestIndexIsAMap compares an index with a map over many transactions. Its block is so small that
// entries move on to the bucket all the time.
func TestIndexIsAMap(t *testing.T) {
	folder, files := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		files++
		b := openIndexed(t, filepath.Join(folder, fmt.Sprint(files)))
		defer b.Close()
		size := blockSize{
			limit: rapid.IntRange(0, 12).Draw(t, "limit"),
			worth: rapid.IntRange(0, 4).Draw(t, "worth"),
			drain: rapid.IntRange(0, 5).Draw(t, "drain"),
		}
		model := map[string]uint64{}
		for range rapid.IntRange(1, 12).Draw(t, "transactions") {
			commit := rapid.IntRange(0, 5).Draw(t, "commit") > 0
			changed := maps.Clone(model)
			err := b.Update(func(tx *bolt.Tx) error {
				x := indexed(t, tx, size)
				for range rapid.IntRange(0, 8).Draw(t, "changes") {
					changeIndex(t, x, changed)
				}
				compareIndex(t, x, changed)
				if !commit {
					return ErrStop
				}
				return flushIndex(t, x)
			})
			if commit && err != nil {
				t.Fatal(err)
			}
			if commit {
				model = changed
			}
			b.View(func(tx *bolt.Tx) error {
				compareIndex(t, indexed(t, tx, size), model)
				return nil
			})
		}
	})
}

func TestIndexNamesBrokenBlock(t *testing.T) {
	whole := smallBlock()
	if _, err := parseBlock(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := parseBlock(whole[:n]); err == nil {
			t.Errorf("a block cut after %d of %d bytes was taken", n, len(whole))
		}
	}
}

func FuzzBlock(f *testing.F) {
	f.Add(smallBlock(), []byte("c"))
	f.Fuzz(func(t *testing.T, value, key []byte) {
		b, err := parseBlock(value)
		if err != nil {
			return
		}
		b.find(key)
		for i := range b.count {
			b.at(i)
		}
	})
}

// flushIndex wants of the block no more than its size allows: a large transaction's own changes at most,
// and a small one's drain.
func flushIndex(t *rapid.T, x *index) error {
	held, old := len(x.held), x.block.count
	err := x.flush()
	limit := max(x.size.limit, held)
	if held < x.size.worth {
		limit = max(0, old-x.size.drain) + held
	}
	if held > 0 && x.block.count > limit {
		t.Fatalf("%d entries in the block after %d changes to %d, of size %+v", x.block.count, held, old, x.size)
	}
	return err
}

func smallBlock() []byte {
	b := newBuilder([]byte("b"), block{}, 2)
	b.add("a", 1)
	b.add("c", 2)
	return b.finish()
}

func openIndexed(t *rapid.T, path string) *bolt.DB {
	b, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err == nil {
		err = b.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("bucket"))
			_, other := tx.CreateBucket([]byte("front"))
			return errors.Join(err, other)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func indexed(t *rapid.T, tx *bolt.Tx, size blockSize) *index {
	bucket := &table{name: "bucket", bucket: tx.Bucket([]byte("bucket"))}
	front := &table{name: "front", bucket: tx.Bucket([]byte("front"))}
	x, err := newIndex(bucket, front)
	if err != nil {
		t.Fatal(err)
	}
	x.size = size
	return x
}

func changeIndex(t *rapid.T, x *index, model map[string]uint64) {
	key := rapid.StringMatching("[a-e]{1,2}").Draw(t, "key")
	if rapid.Bool().Draw(t, "delete") {
		x.delete([]byte(key))
		delete(model, key)
		return
	}
	n := rapid.Uint64Range(1, 1<<40).Draw(t, "number")
	x.put([]byte(key), n)
	model[key] = n
}

func compareIndex(t *rapid.T, x *index, model map[string]uint64) {
	after := rapid.StringMatching("[a-e]{0,2}").Draw(t, "after")
	var got, want []string
	err := x.each([]byte(after), func(key []byte, n uint64) error {
		got = append(got, fmt.Sprint(string(key), n))
		return nil
	})
	for _, key := range slices.Sorted(maps.Keys(model)) {
		if key > after {
			want = append(want, fmt.Sprint(key, model[key]))
		}
		if n, err := x.get([]byte(key)); err != nil || n != model[key] {
			t.Fatalf("get %q: %d, %v; want %d", key, n, err, model[key])
		}
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("each after %q: %v, %v; want %v", after, got, err, want)
	}
	if n, err := x.get(bytes.Repeat([]byte("x"), 3)); n != 0 || err != nil {
		t.Fatalf("get of a key that is not there: %d, %v", n, err)
	}
}
