package pipeline

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// diskOf returns the free bytes and the size of the disk that a file lies on, 0 where they are not known.
func diskOf(path string) (free, size uint64) {
	dir, err := windows.UTF16PtrFromString(filepath.Dir(path))
	if err != nil {
		return 0, 0
	}
	if err := windows.GetDiskFreeSpaceEx(dir, &free, &size, nil); err != nil {
		return 0, 0
	}
	return free, size
}
