package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// sweep removes streams whose making was interrupted by a crash: folders without the stream's own description, which the
// server can never recover and which would keep it unhealthy for ever. Nobody was told that such a stream exists, and
// it holds no message; a folder that holds messages is not touched.
func sweep(dir string) error {
	probes, err := filepath.Glob(filepath.Join(dir, "jetstream", "_test_*")) // a start that was killed leaves one, and the next takes it for an account
	if err != nil {
		return err
	}
	for _, probe := range probes {
		if err := os.Remove(probe); err != nil {
			return err
		}
	}
	folders, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if whole(folder, "meta.inf") && whole(folder, "meta.sum") {
			continue
		}
		blocks, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
		if err != nil {
			return err
		}
		for _, block := range blocks {
			if whole("", block) {
				return fmt.Errorf("stream %s is damaged: it holds messages but no description; restore the data directory from a backup", folder)
			}
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether the file is there and not empty.
func whole(folder, name string) bool {
	info, err := os.Stat(filepath.Join(folder, name))
	return err == nil && info.Size() > 0 || err != nil && !errors.Is(err, os.ErrNotExist)
}
