package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"
)

// Snapshot says what a copy of a store holds.
type Snapshot struct {
	// Store is the store's id, Format the version of its buckets.
	Store  string
	Format int
	// Log is how far the log had been applied, Revision and Chain are the head of the revisions.
	Log      Position
	Revision uint64
	Chain    string
	// Digest is the state's, as [DB.Digest] gives it.
	Digest Digest
}

// Why a snapshot is not put in place.
var (
	// ErrExists means that there is a store already, and nobody said that it may be replaced.
	ErrExists = errors.New("there is a store already")
	// ErrOtherSnapshot means that a snapshot does not hold what it was said to hold.
	ErrOtherSnapshot = errors.New("snapshot does not hold what it should")
)

// WriteSnapshot writes the store as it is now to w, compressed, and returns what was written. Updates go on meanwhile, and
// the file grows by what they write: w should be fast. [Restore] reads it, and so does any zstd.
func (db *DB) WriteSnapshot(w io.Writer) (s Snapshot, err error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return s, err
	}
	err = db.bolt.View(func(b *bolt.Tx) error {
		if s, err = describe(b); err != nil {
			return err
		}
		_, err := b.WriteTo(z)
		return err
	})
	return s, errors.Join(err, z.Close())
}

// Snapshot returns what a snapshot taken now would hold.
func (db *DB) Snapshot() (s Snapshot, err error) {
	err = db.bolt.View(func(b *bolt.Tx) error { s, err = describe(b); return err })
	return s, err
}

func describe(b *bolt.Tx) (s Snapshot, err error) {
	tx := newTx(b)
	s.Log = tx.LogPosition()
	s.Revision, s.Chain = tx.Head()
	s.Digest = digestState(b)
	err = errors.Join(tx.meta(metaID, &s.Store), tx.meta(metaFormat, &s.Format))
	return s, err
}

// RestoreOptions say what a snapshot must hold and what it may replace.
type RestoreOptions struct {
	// Want is what the snapshot was said to hold, nil for any.
	Want *Snapshot
	// Force replaces a store that is there. It is kept beside, under the name that [Restore] returns.
	Force bool
	// Now names the store that is kept.
	Now time.Time
}

// Restore reads a snapshot, or a plain copy of a store, and puts it at path when it was found whole: [DB.Check] and
// RestoreOptions.Want agree with it. A store that somebody has open is not replaced (ErrLocked), one that nobody
// has open only by force. kept is where the old one lies now, "" when there was none.
func Restore(r io.Reader, path string, o RestoreOptions) (s Snapshot, kept string, err error) {
	release, err := reserve(path, o.Force)
	if err != nil {
		return s, "", err
	}
	defer release()
	temp, err := unpack(r, path)
	if err != nil {
		return s, "", err
	}
	defer os.Remove(temp)
	if s, err = verify(temp, o.Want); err != nil {
		return s, "", err
	}
	if kept, err = keepBeside(path, o.Now); err != nil {
		return s, "", err
	}
	if runtime.GOOS == "windows" { // an open file cannot be replaced there
		release()
	}
	if err := os.Rename(temp, path); err != nil {
		return s, kept, err
	}
	return s, kept, syncFolder(filepath.Dir(path))
}

// reserve fails where the file at path may not be replaced, and keeps others from opening it until release is called.
func reserve(path string, force bool) (release func(), err error) {
	release = func() {}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return release, nil
	}
	if !force {
		err = ErrExists
	}
	db, opening := open(path, Options{Timeout: 200 * time.Millisecond})
	switch {
	case opening == nil:
		release = func() { _ = db.Close() } // nothing was written
	case errors.Is(opening, ErrLocked):
		err = opening
	}
	if err != nil {
		release()
		return nil, &OpenError{Path: path, Err: err, Try: advice(err, path)}
	}
	return release, nil
}

// unpack writes the snapshot beside path.
func unpack(r io.Reader, path string) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".restore-*")
	if err != nil {
		return "", err
	}
	if err = decompress(f, r); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("unpack the snapshot: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// zstdMagic is what a compressed snapshot begins with.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

func decompress(w io.Writer, r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<16)
	if head, err := b.Peek(len(zstdMagic)); err != nil || !bytes.Equal(head, zstdMagic) {
		_, err := io.Copy(w, b)
		return err
	}
	z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(w, z)
	return err
}

// verify says what the file holds, if it is a whole store and the one that was wanted.
func verify(path string, want *Snapshot) (s Snapshot, err error) {
	db, err := open(path, Options{})
	if err != nil {
		return s, fmt.Errorf("the snapshot cannot be opened: %w", err)
	}
	s, err = db.Snapshot()
	if err == nil {
		err = db.Check()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return s, fmt.Errorf("%w: the snapshot is not whole: %w", ErrDamaged, err)
	}
	if want != nil && !s.is(want) {
		return s, fmt.Errorf("%w: revision %d of store %s at %d of the log, want revision %d of store %s at %d of the log",
			ErrOtherSnapshot, s.Revision, s.Store, s.Log.Sequence, want.Revision, want.Store, want.Log.Sequence)
	}
	return s, nil
}

// is compares contents. Opening a snapshot of an older format has brought it up to this one, which may change its digest.
func (s Snapshot) is(want *Snapshot) bool {
	return s.Store == want.Store && s.Log.Sequence == want.Log.Sequence && s.Revision == want.Revision && s.Chain == want.Chain &&
		(s.Format != want.Format || s.Digest == want.Digest)
}

// keepBeside gives the file at path a second name, if there is one: at no moment is there no store.
func keepBeside(path string, now time.Time) (kept string, err error) {
	kept = path + ".replaced-" + now.UTC().Format("20060102T150405.000")
	if err = os.Link(path, kept); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return kept, err
}
