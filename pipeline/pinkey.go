package pipeline

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// pinKey is the secret behind PINs. What it is used for has a key of its own, derived by HKDF: sealing what directories
// say, hashing what rests in the store, and drawing new ones.
type pinKey struct {
	seal       *subtle.AESSIV
	hash, draw []byte
	// check tells this key from others and says nothing about it.
	check string
}

const (
	// pinKeyFile is the key's name in the data directory.
	pinKeyFile = "pins.key"
	// pinKeySize is how many random bytes the file has, in base64.
	pinKeySize = 32
	// pinKeyCheck is the name of the check value in the store and among the published rules.
	pinKeyCheck = "pin-key"
)

// ErrPINKey means that the key of the PINs is missing, unreadable for the right reasons, or another one than the store's.
var ErrPINKey = errors.New("PIN key")

func newPINKey(secret []byte) (*pinKey, error) {
	if len(secret) != pinKeySize {
		return nil, fmt.Errorf("it has %d bytes, not %d", len(secret), pinKeySize)
	}
	derive := func(use string, size int) []byte {
		key, err := hkdf.Key(sha256.New, secret, nil, "rollcall pins 1: "+use, size)
		if err != nil { // sizes are constants
			panic(err)
		}
		return key
	}
	seal, err := subtle.NewAESSIV(derive("seal", subtle.AESSIVKeySize))
	return &pinKey{seal: seal, hash: derive("hash", sha256.Size), draw: derive("draw", sha256.Size), check: hex.EncodeToString(derive("check", 16))}, err
}

// Hash returns the keyed hash under which a PIN rests (U6), in 32 hexadecimal digits.
func (k *pinKey) Hash(pin string) string {
	h := hmac.New(sha256.New, k.hash)
	h.Write([]byte(pin))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// carriedPIN is what a PIN begins with in an export that was asked for hashed PINs (V6). Behind it stands the hash, sealed, so that
// no other key takes it for one of its own.
const carriedPIN = "rollcall-pin-1:"

// exportUse keeps what is sealed for an export from being taken for a sealed attribute.
const exportUse = "export"

var errCarried = errors.New("the PIN was exported under another key")

// carry returns what an export says of a PIN's hash.
func (k *pinKey) carry(hash string) (string, error) {
	data, err := k.seal.EncryptDeterministically([]byte(hash), []byte(exportUse))
	return carriedPIN + base64.RawURLEncoding.EncodeToString(data), err
}

// carried returns the hash that an export says, behind [carriedPIN].
func (k *pinKey) carried(text string) (string, error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		data, err = k.seal.DecryptDeterministically(data, []byte(exportUse))
	}
	if err != nil {
		return "", errCarried
	}
	return string(data), nil
}

// issue draws a PIN that nobody has, and returns its hash.
func (k *pinKey) issue(userID string, number uint64, length int, taken func(hash string) (bool, error)) (hash string, err error) {
	_, err = policy.DrawPIN(k.draw, userID, number, length, func(pin string) (bool, error) {
		hash = k.Hash(pin)
		return taken(hash)
	})
	return hash, err
}

// maxReveals bounds how long a PIN is looked for.
const maxReveals = 1 << 20

// reveal draws again until it meets a PIN that the user has: no PIN is kept to be shown.
func (k *pinKey) reveal(userID string, number uint64, length int, hashes []string) (string, error) {
	tries := 0
	return policy.DrawPIN(k.draw, userID, number, length, func(pin string) (bool, error) {
		if tries++; tries > maxReveals {
			return false, connectors.Hint(errors.New("the PIN was replaced before it could be shown"), "rollcall pins generate once more")
		}
		return !slices.Contains(hashes, k.Hash(pin)), nil
	})
}

// openPINKey reads the key where the configuration says or in the data directory. There it is made when the store is
// given and has none yet; nil is a process without store that was given no key.
func openPINKey(c *Config, db *store.DB) (*pinKey, error) {
	path, isGiven := c.PINKeyFile, c.PINKeyFile != ""
	if !isGiven {
		path = filepath.Join(c.DataDir, pinKeyFile)
	}
	secret, err := readPINKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && isGiven:
		return nil, connectors.Hint(fmt.Errorf("%w: there is no file %s", ErrPINKey, path),
			fmt.Sprintf("the file that the store's PINs were made with or, for a new store, (umask 077; head -c %d /dev/urandom | base64 > %s)", pinKeySize, path))
	case errors.Is(err, fs.ErrNotExist) && db == nil:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		secret, err = makePINKey(path, db)
	}
	if err != nil {
		return nil, err
	}
	key, err := newPINKey(secret)
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("%w: %s: %w", ErrPINKey, path, err), "the file as rollcall wrote it, from a backup")
	}
	if db == nil {
		return key, nil
	}
	if err := key.belongsTo(db, path); err != nil {
		return nil, err
	}
	return key, nil
}

// readPINKey reads a key that others cannot read.
func readPINKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPINKey, err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, connectors.Hint(fmt.Errorf("%w: everybody may read %s (mode %04o)", ErrPINKey, path, mode), "chmod 600 "+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPINKey, err)
	}
	secret, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("%w: %s is not %d bytes in base64", ErrPINKey, path, pinKeySize), "the file as rollcall wrote it, from a backup")
	}
	return secret, nil
}

// makePINKey makes a key for a store that knows no PINs.
func makePINKey(path string, db *store.DB) ([]byte, error) {
	known, err := knowsPINs(db)
	if err != nil {
		return nil, err
	}
	if known {
		return nil, connectors.Hint(fmt.Errorf("%w: %s is missing, and the store has PINs that were made with it", ErrPINKey, path),
			"the file from a backup; with another key nobody could sign in with the PINs that are there")
	}
	secret := make([]byte, pinKeySize)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPINKey, err)
	}
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	return secret, errors.Join(err, file.Sync(), file.Close())
}

// belongsTo notes the key in a store that knows no PINs, and refuses it where another one made them.
func (k *pinKey) belongsTo(db *store.DB, path string) error {
	var noted []byte
	if err := db.View(func(tx *store.Tx) error { noted = tx.Meta(pinKeyCheck); return nil }); err != nil || string(noted) == k.check {
		return err
	}
	if noted != nil {
		if known, err := knowsPINs(db); err != nil || known {
			return errors.Join(err, connectors.Hint(fmt.Errorf("%w: %s is another key than the one that the store's PINs were made with", ErrPINKey, path),
				"the right file, from a backup or under pins: {key_file: …}"))
		}
	}
	return db.Update(func(tx *store.Tx) error { return tx.SetMeta(pinKeyCheck, []byte(k.check)) })
}

// knowsPINs reports whether any user has a PIN.
func knowsPINs(db *store.DB) (known bool, err error) {
	err = db.View(func(tx *store.Tx) error {
		return tx.Users("", func(u *store.User) error {
			if known = len(u.List[store.PINs.List()]) > 0; known {
				return store.ErrStop
			}
			return nil
		})
	})
	return known, err
}

// announce lets other processes know which key this pipeline has, or fails when theirs is another one. Beside an embedded server
// the writer's counts; of several reconcilers, the first one's.
func (k *pinKey) announce(ctx context.Context, bus *events.Bus, hasStore, isAlone bool) error {
	bucket, err := bus.KeyValue(ctx, events.ConfigBucket)
	if err != nil || k == nil {
		return err
	}
	if hasStore && isAlone {
		_, err = bucket.Put(ctx, pinKeyCheck, []byte(k.check))
		return err
	}
	if hasStore {
		if _, err := bucket.Create(ctx, pinKeyCheck, []byte(k.check)); !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
	noted, err := bucket.Get(ctx, pinKeyCheck)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err == nil && string(noted.Value()) != k.check {
		err = connectors.Hint(fmt.Errorf("%w: it is another one than the reconciler's", ErrPINKey), "the same pins.key_file for every process of the pipeline")
	}
	return err
}
