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

// toldOf is a stream of which several servers tell, one behind the other.
type toldOf struct {
	jetstream.Stream
	answers []*jetstream.StreamInfo
}

func (t *toldOf) Info(context.Context, ...jetstream.StreamInfoOpt) (answer *jetstream.StreamInfo, err error) {
	answer, t.answers = t.answers[0], t.answers[1:]
	return answer, nil
}

// Only the leader that others listen to knows where a stream ends.
func TestAnswersOfServersCutOff(t *testing.T) {
	ends := func(at uint64, leader string, heard ...time.Duration) *jetstream.StreamInfo {
		c := &jetstream.ClusterInfo{Leader: leader}
		for _, ago := range heard {
			c.Replicas = append(c.Replicas, &jetstream.PeerInfo{Active: ago})
		}
		return &jetstream.StreamInfo{State: jetstream.StreamState{LastSeq: at}, Cluster: c}
	}
	follower := ends(3, "", time.Second, time.Second, time.Second)
	old, fresh := ends(3, "n1", 12*time.Second, 5*time.Second), ends(3, "n1", 0, 0)
	for name, answers := range map[string][]*jetstream.StreamInfo{
		"no cluster":              {{State: jetstream.StreamState{LastSeq: 10}}},
		"one server":              {ends(10, "n1")},
		"one server does not run": {follower, ends(10, "n2", time.Second, time.Hour)},
		"a follower cut off":      {follower, follower, ends(10, "n2", time.Second, time.Second)},
		"a leader cut off":        {old, ends(10, "n2", time.Hour, 300*time.Millisecond)},
		"a leader heard by none":  {fresh, ends(10, "n1", time.Second, 0)},
		"two of five":             {ends(3, "n1", time.Second, time.Hour, time.Hour, time.Hour), ends(10, "n2", time.Second, time.Second, time.Hour, time.Hour)},
		"four, cut in halves":     {ends(3, "n1", time.Second, time.Hour, time.Hour), ends(10, "n2", time.Second, time.Second, time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				info, err := patientStream{&toldOf{answers: answers}}.Info(t.Context())
				if err != nil || info.State.LastSeq != 10 {
					t.Errorf("the stream ends at %+v (%v), want 10", info, err)
				}
			})
		})
	}
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
