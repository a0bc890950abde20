package broker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// A crash while a stream was being made leaves a folder that the server cannot recover. The next start makes it anew.
func TestStartAfterACrashWhileAStreamWasMade(t *testing.T) {
	dir := t.TempDir()
	withStream(t, dir)
	folder := filepath.Join(dir, "streams", "jetstream", "$G", "streams", "HALF")
	if err := os.MkdirAll(filepath.Join(folder, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "meta.inf"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "streams", "jetstream", "_test_547290743"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	withStream(t, dir)
	if _, err := os.Stat(folder); err == nil {
		t.Error("the half stream is still there")
	}
}

// A stream that holds messages is never swept away.
func TestADamagedStreamWithMessagesIsRefused(t *testing.T) {
	dir := t.TempDir()
	withStream(t, dir)
	folder := filepath.Join(dir, "streams", "jetstream", "$G", "streams", "WHOLE")
	if err := os.Remove(filepath.Join(folder, "meta.inf")); err != nil {
		t.Fatal(err)
	}
	if b, err := Start(Options{Dir: dir, Log: zerolog.Nop()}); err == nil {
		b.Stop()
		t.Error("started over a stream that lost its description")
	}
	if blocks, _ := filepath.Glob(filepath.Join(folder, "msgs", "*.blk")); len(blocks) == 0 {
		t.Error("its messages are gone")
	}
}

// withStream starts a server in dir and puts a message into its stream WHOLE.
func withStream(t *testing.T, dir string) {
	t.Helper()
	b, err := Start(Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	nc, err := nats.Connect(b.URL(), b.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "WHOLE", Subjects: []string{"whole"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "whole", []byte("message")); err != nil {
		t.Fatal(err)
	}
}
