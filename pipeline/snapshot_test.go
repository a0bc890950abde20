package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/pipeline"
)

// When the log is not the one that the latest snapshot ends in, there is a new snapshot soon: a standby would have nothing to begin from.
func TestSnapshotBehindALostLog(t *testing.T) {
	c := newCompany(t, newRoster().people(5))
	c.config.Snapshots = pipeline.Snapshots{Every: time.Hour}
	c.start()
	c.applied("read 5, created 5")
	c.settled()
	if _, err := c.client.TakeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := c.snapshots()[0]
	c.stop()
	c.forgetLog()
	c.start()
	eventually(t, func() bool { return !c.snapshots()[0].Log.Created.Equal(last.Log.Created) })
	c.stop()
}

// Snapshots are taken when the last one is old and something changed, the oldest are forgotten, and the latest brings a lost
// store back to the same state: what the log says behind it is caught up with, and told to nobody twice.
func TestSnapshots(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir)
	c.config.Snapshots = pipeline.Snapshots{Every: time.Nanosecond, Keep: 2}
	var last pipeline.Snapshot
	for _, phone := range []string{"1", "2", "3"} {
		dir.set("p00001", "phone", phone)
		if c.node == nil {
			c.start()
		}
		c.sync()
		c.settled()
		c.stop()
		c.start() // which looks at once
		eventually(t, func() bool { last = c.snapshots()[0]; return last.Revision == c.revision() })
	}
	if n := len(c.snapshots()); n != 2 {
		t.Errorf("%d snapshots are kept, want 2", n)
	}
	dir.set("p00001", "phone", "4")
	c.config.Snapshots = pipeline.Snapshots{}
	c.stop()
	c.start()
	c.sync()
	if again := c.snapshots()[0]; again != last {
		t.Errorf("a snapshot %s was taken although none was asked for", again.Name)
	}
	c.settled()
	c.stop()
	path := filepath.Join(c.config.DataDir, "store.db")
	before, _ := digestOf(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r, err := pipeline.Restore(context.Background(), c.config, pipeline.RestoreOptions{})
	if err != nil || r.Revision != last.Revision {
		t.Fatalf("restored revision %d, want %d (%v)", r.Revision, last.Revision, err)
	}
	if at, _ := digestOf(t, path); at == before {
		t.Error("the snapshot has what came behind it")
	}
	c.start()
	c.settled()
	c.stop()
	if after, _ := digestOf(t, path); after != before {
		t.Errorf("digest %x after the restore, want %x", after, before)
	}
}

// snapshots returns the snapshots that are kept; one that nobody took stands for none.
func (c *company) snapshots() []pipeline.Snapshot {
	c.t.Helper()
	all, err := c.client.Snapshots(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if len(all) == 0 {
		return []pipeline.Snapshot{{}}
	}
	return all
}
