package pipeline_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pipeline"
)

// Many questions at once that are all refused, while somebody looks at the service's statistics: nobody else looks at a question that
// is still being answered. The race detector sees it.
func TestRefusalsAtOnce(t *testing.T) {
	c := newCompany(t, newRoster()).start()
	bus := c.dialBus()
	defer bus.Close()
	var group errgroup.Group
	group.SetLimit(20)
	for range 500 {
		group.Go(func() error {
			if _, err := c.client.Run(t.Context(), "people", 99); !errors.Is(err, pipeline.ErrNotFound) {
				return fmt.Errorf("a run that is none: %w", err)
			}
			return nil
		})
		group.Go(func() error { _, err := bus.Conn.Request("$SRV.STATS.rollcall", nil, time.Minute); return err })
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
