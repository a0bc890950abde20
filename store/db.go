package store

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Why a store cannot be opened. [Open] wraps them in an [OpenError].
var (
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("another rollcall uses it")
	// ErrNewer means that a newer version of the program has written the store.
	ErrNewer = errors.New("made by a newer version of rollcall")
	// ErrDamaged means that the file is truncated, broken or no store at all. Such a file is never
	// written to.
	ErrDamaged = errors.New("damaged or not a store")
)

// ErrStop ends an iteration early and without an error.
var ErrStop = errors.New("stop")

// OpenError says which store could not be opened, why, and what to try.
type OpenError struct {
	Path string
	Err  error
	Try  string
}

func (e *OpenError) Error() string { return "open store " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *OpenError) Unwrap() error { return e.Err }

// Options are how a store is opened. The zero value is right for production.
type Options struct {
	// Timeout is how long to wait for another process to close the store, 2 s when zero.
	Timeout time.Duration
	// ReadOnly opens an existing store without the right to change it.
	ReadOnly bool
	// NoSync leaves out fsync: for tests and benchmarks, which may lose everything.
	NoSync bool
	// ID is given to a store that is created, "" for a random one. A store that is rebuilt from
	// the log needs the id of the original, because user ids derive from it.
	ID string
}

// DB is a store in one file, opened by one process.
type DB struct {
	bolt     *bolt.DB
	id       string
	readOnly bool
}

// Open opens the store at path and creates it when there is no such file. It fails with an
// [OpenError] and leaves a file that it does not understand as it is.
func Open(path string, o Options) (*DB, error) {
	db, err := open(path, o)
	if err != nil {
		return nil, &OpenError{Path: path, Err: err, Try: advice(err, path)}
	}
	return db, nil
}

// Close waits for open transactions and releases the file.
func (db *DB) Close() error { return db.bolt.Close() }

// Sync makes durable what was committed so far, in a store that was opened without.
func (db *DB) Sync() error { return db.bolt.Sync() }

// ID returns the UUID that the store was given when it was created.
func (db *DB) ID() string { return db.id }

// Path returns the file's path.
func (db *DB) Path() string { return db.bolt.Path() }

// View calls fn with a consistent state of the store. Any number of Views run beside each other and
// beside an Update; a long one makes the file grow. The Tx is good until fn returns.
func (db *DB) View(fn func(*Tx) error) error {
	return db.bolt.View(func(b *bolt.Tx) error {
		tx := newTx(b)
		if err := fn(tx); err != nil {
			return err
		}
		return tx.err
	})
}

// Update calls fn and commits what it has done, durably, or, when fn fails, none of it. One Update
// runs at a time; calling it inside a View or an Update waits for ever.
func (db *DB) Update(fn func(*Tx) error) error {
	return db.bolt.Update(func(b *bolt.Tx) error {
		tx := newTx(b)
		if err := fn(tx); err != nil {
			return err
		}
		return tx.finish()
	})
}

func open(path string, o Options) (*DB, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	err := examine(path)
	if errors.Is(err, os.ErrNotExist) && !o.ReadOnly {
		err = create(path, o)
	}
	if err != nil {
		return nil, err
	}
	b, err := openBolt(path, o)
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: b, readOnly: o.ReadOnly}
	if db.id, err = identify(b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if !o.ReadOnly {
		if err := upgrade(b); err != nil {
			return nil, errors.Join(fmt.Errorf("bring the store up to format %d: %w", format, err), b.Close())
		}
	}
	return db, nil
}

// openBolt turns bbolt's panics on a broken free list into an error.
func openBolt(path string, o Options) (b *bolt.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	b, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         o.Timeout,
		ReadOnly:        o.ReadOnly,
		NoSync:          o.NoSync,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMap,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return b, err
}

// identify returns the store's id, if this version understands the store.
func identify(b *bolt.DB) (id string, err error) {
	err = b.View(func(btx *bolt.Tx) error {
		if btx.Bucket([]byte(metaBucket)) == nil {
			return fmt.Errorf("%w: it is a bbolt file, and not one of rollcall", ErrDamaged)
		}
		tx := newTx(btx)
		var made int
		if err := tx.meta(metaFormat, &made); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if made > format {
			return fmt.Errorf("%w (format %d, this version knows %d)", ErrNewer, made, format)
		}
		if err := tx.meta(metaID, &id); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if made < 1 || id == "" {
			return fmt.Errorf("%w: format or id are missing", ErrDamaged)
		}
		for _, name := range bucketsOf(made) {
			if btx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("%w: bucket %s is missing", ErrDamaged, name)
			}
		}
		return nil
	})
	return id, err
}

// furnish makes the buckets of an empty store.
func furnish(b *bolt.DB, id string) error {
	if id == "" {
		id = uuid.NewString()
	}
	return b.Update(func(btx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := btx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		tx := newTx(btx)
		if err := errors.Join(tx.setMeta(metaFormat, format), tx.setMeta(metaID, id)); err != nil {
			return err
		}
		return tx.finish()
	})
}

func advice(err error, path string) string {
	switch {
	case errors.Is(err, ErrLocked):
		return "stop the rollcall that has " + path + " open, or give this one a data directory of its own"
	case errors.Is(err, ErrNewer):
		return "install the version of rollcall that wrote " + path + ", or a newer one"
	case errors.Is(err, ErrDamaged):
		return "rollcall store restore with the latest snapshot; " + path + " has been left as it is"
	case errors.Is(err, ErrExists):
		return "--force, which keeps " + path + " under another name beside it"
	}
	return "see whether " + path + " exists and this user may read and write it"
}
