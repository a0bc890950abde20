package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// initialMap is the address space that is reserved for the file: remapping a growing file waits for
// readers. Windows would make the file that large, 32 bits have no such space to give.
var initialMap = func() int {
	if runtime.GOOS == "windows" || strconv.IntSize < 64 {
		return 0
	}
	return 1 << 30
}()

// create makes an empty store beside path and puts it there when it is whole: bbolt's first writes
// would not survive a power failure. It never replaces a file.
func create(path string, o Options) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	b, err := openBolt(temp.Name(), Options{Timeout: o.Timeout, NoSync: o.NoSync})
	if err != nil {
		return err
	}
	if err := errors.Join(furnish(b, o.ID), b.Close()); err != nil {
		return err
	}
	if err := place(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// place gives the finished file its name. A link fails where another process was faster, which a
// rename would overwrite; a rename is left for file systems without links.
func place(temp, path string) error {
	err := os.Link(temp, path)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		err = os.Rename(temp, path)
	}
	return err
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// examine fails with [ErrDamaged] unless path is a bbolt file with all its pages. bbolt itself maps
// a truncated file and is killed by the first page that is not there.
func examine(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrDamaged)
	}
	m := newestMeta(f)
	if m.pageSize == 0 {
		return fmt.Errorf("%w: %d bytes without a valid header", ErrDamaged, info.Size())
	}
	// The size is asked again: a file in use may have grown since, and never shrinks.
	if info, err = f.Stat(); err != nil {
		return err
	}
	if whole := m.pages * m.pageSize; uint64(info.Size()) < whole {
		return fmt.Errorf("%w: truncated, %d of at least %d bytes", ErrDamaged, info.Size(), whole)
	}
	return nil
}

// meta is what examine needs of bbolt's meta page.
type meta struct{ pageSize, pages, transaction uint64 }

// newestMeta returns the valid meta page of the last transaction: at the file's beginning or behind
// the first page, whose size is unknown as long as the first meta page is not valid.
func newestMeta(r io.ReaderAt) (newest meta) {
	at := []int64{0}
	for size := int64(1024); size <= 1<<24; size *= 2 {
		at = append(at, size)
	}
	for _, offset := range at {
		if m, ok := readMeta(r, offset); ok && (newest.pageSize == 0 || m.transaction > newest.transaction) {
			newest = m
		}
	}
	return newest
}

// readMeta reads a page's header (16 bytes) and the meta record behind it: magic, version, page
// size, flags, root bucket (16), free list, pages in use, transaction, checksum.
func readMeta(r io.ReaderAt, offset int64) (m meta, ok bool) {
	const header, checked, length = 16, 56, 64
	var page [header + length]byte
	if _, err := r.ReadAt(page[:], offset); err != nil {
		return m, false
	}
	b, native := page[header:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:checked])
	if native.Uint32(b) != 0xED0CDAED || native.Uint64(b[checked:]) != sum.Sum64() {
		return m, false
	}
	m = meta{uint64(native.Uint32(b[8:])), native.Uint64(b[40:]), native.Uint64(b[48:])}
	return m, m.pageSize >= 1024 && m.pages < 1<<40
}
