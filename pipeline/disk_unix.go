//go:build unix

package pipeline

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// diskOf returns the free bytes and the size of the disk that a file lies on, 0 where they are not known.
func diskOf(path string) (free, size uint64) {
	var s unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &s); err != nil {
		return 0, 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize)
}
