package pipeline

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// There is an alarm before something is full or history is lost, and the log tells it once as long as it lasts.
func TestAlarms(t *testing.T) {
	keep, noon := 10*time.Hour, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		lag   Lag
		room  Room
		about string
	}{
		"all is well":    {Lag{Records: 5, Unapplied: 60}, Room{Streams: []StreamUse{{Name: "A", Bytes: 79, Limit: 100}, {Name: "B", Bytes: 1 << 40}}, Used: 79, Limit: 100, DiskFree: 20, DiskSize: 100}, ""},
		"stream":         {Lag{}, Room{Streams: []StreamUse{{Name: "A", Bytes: 80, Limit: 100}}}, "stream A"},
		"all streams":    {Lag{}, Room{Used: 80, Limit: 100}, "streams"},
		"disk":           {Lag{}, Room{DiskFree: 10, DiskSize: 100}, "disk"},
		"snapshot far":   {Lag{}, Room{Streams: []StreamUse{{Name: "L"}}, Readers: []Reader{{"s", "L", 60, 41, 90}}}, ""},
		"snapshot near":  {Lag{}, Room{Streams: []StreamUse{{Name: "L"}}, Readers: []Reader{{"s", "L", 45, 41, 90}}}, "reader s"},
		"snapshot gone":  {Lag{}, Room{Streams: []StreamUse{{Name: "L"}}, Readers: []Reader{{"s", "L", 40, 41, 90}}}, "reader s"},
		"all is kept":    {Lag{}, Room{Streams: []StreamUse{{Name: "L"}}, Readers: []Reader{{"s", "L", 1, 1, 90}}}, ""},
		"log ages":       {Lag{}, Room{Now: noon, Streams: []StreamUse{{Name: "L", Oldest: noon.Add(-9 * time.Hour)}}, Readers: []Reader{{"s", "L", 1, 1, 90}}}, "reader s"},
		"nothing new":    {Lag{}, Room{Streams: []StreamUse{{Name: "L"}}, Readers: []Reader{{"s", "L", 91, 91, 90}}}, ""},
		"old and unread": {Lag{Unrelayed: 8.5 * 3600}, Room{}, "history"},
		"old, unapplied": {Lag{Unapplied: 8.5 * 3600}, Room{}, "history"},
	} {
		t.Run(name, func(t *testing.T) {
			alarms := Alarms(test.lag, test.room, keep)
			if test.about == "" && len(alarms) > 0 || test.about != "" && (len(alarms) != 1 || alarms[0].About != test.about) {
				t.Errorf("alarms %v, want one about %q", alarms, test.about)
			}
		})
	}
	var said bytes.Buffer
	w := &watcher{log: zerolog.New(&said)}
	full := []Alarm{{"disk", "90 %"}}
	state := w.warn(full, nil)
	state = w.warn([]Alarm{{"disk", "91 %"}}, state)
	if n := strings.Count(said.String(), "\n"); n != 1 {
		t.Errorf("%d warnings of one alarm", n)
	}
	state = w.warn(nil, state)
	w.warn(full, state)
	if n := strings.Count(said.String(), "\n"); n != 2 {
		t.Errorf("%d warnings, want another when it comes back", n)
	}

	said.Reset()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	looks := 0
	w.every, w.measure = time.Millisecond, func(context.Context) (Lag, Room, error) {
		if looks++; looks == 3 {
			stop()
		}
		return Lag{}, Room{DiskSize: 100}, nil
	}
	if err := w.run(ctx); err != nil || strings.Count(said.String(), `"about":"disk"`) != 1 {
		t.Errorf("who looks on says %q: %v", said.String(), err)
	}
}
