package events

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// forgetful is a stream whose first questions get lost, as while a cluster chooses who leads it.
type forgetful struct {
	jetstream.Stream
	lost int
}

func (f *forgetful) GetMsg(ctx context.Context, sequence uint64, _ ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	if f.lost--; f.lost == 0 {
		return nil, nats.ErrNoResponders
	}
	if f.lost > 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &jetstream.RawStreamMsg{Sequence: sequence}, nil
}

// A question that gets lost costs seconds, not the whole time that the asker has.
func TestLostQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		msg, err := patientStream{&forgetful{lost: 3}}.GetMsg(ctx, 7)
		if took := time.Since(begun); err != nil || msg.Sequence != 7 || took > 8*time.Second {
			t.Errorf("got %+v, %v in %s, want message 7 in 8 s", msg, err, took)
		}
	})
}

// Nobody asks longer than the asker allows.
func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := patientStream{&forgetful{lost: 1000}}.GetMsg(ctx, 7)
		if took := time.Since(begun); err == nil || took != 10*time.Second {
			t.Errorf("gave up with %v after %s, want 10 s", err, took)
		}
	})
}

// leaderless is an object store whose stream has no leader at first: it reads some of what it is given and stores nothing.
type leaderless struct {
	jetstream.ObjectStore
	lost int
	got  string
}

func (l *leaderless) Put(_ context.Context, _ jetstream.ObjectMeta, from io.Reader) (*jetstream.ObjectInfo, error) {
	all, err := io.ReadAll(from)
	if l.lost--; l.lost >= 0 {
		return nil, nats.ErrNoResponders
	}
	l.got = string(all)
	return &jetstream.ObjectInfo{Size: uint64(len(all))}, err
}

// What a store without a leader did not take is put again, whole.
func TestPutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into := &leaderless{lost: 3}
		file := strings.NewReader("snapshot")
		_, _ = file.Seek(0, io.SeekEnd) // as whoever wrote it leaves it
		object, err := PutObject(t.Context(), into, jetstream.ObjectMeta{}, file)
		if err != nil || object.Size != 8 || into.got != "snapshot" {
			t.Errorf("stored %q: %+v, %v", into.got, object, err)
		}
	})
}
