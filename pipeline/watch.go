package pipeline

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// watcher warns in the log when something will soon be full or lost.
type watcher struct {
	// measure is the gauge's.
	measure func(context.Context) (Lag, Room, error)
	keep    time.Duration
	log     zerolog.Logger
	// every is how often it looks, a minute when zero.
	every time.Duration
}

const watchEvery = time.Minute

func (w *watcher) run(ctx context.Context) error {
	every := w.every
	if every == 0 {
		every = watchEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			lag, room, err := w.measure(ctx)
			if err == nil {
				said = w.warn(Alarms(lag, room, w.keep), said)
			}
		}
	}
}

// warn says each alarm once as long as it lasts, and returns what it has said.
func (w *watcher) warn(alarms []Alarm, said map[string]bool) map[string]bool {
	now := map[string]bool{}
	for _, a := range alarms {
		if now[a.About] = true; !said[a.About] {
			w.log.Warn().Str("about", a.About).Msg(a.Text)
		}
	}
	return now
}
