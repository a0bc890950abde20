package console

import (
	"context"
	"net/http"
	"slices"
	"time"

	"rollcall/pipeline"
	"rollcall/store"
)

const (
	// askTime is how long a question to the reconciler may take, decideTime a decision, which is answered when it was carried out.
	askTime    = 20 * time.Second
	decideTime = 10 * time.Minute
	// soon and later are after how many seconds a page is loaded again while something moves, and when nothing does.
	soon, later = 3, 30
)

// asking returns a context for a question.
func asking(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), askTime)
}

// patiently returns a context for what takes its time, and keeps the connection open for as long.
func patiently(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(decideTime + writeTime))
	return context.WithTimeout(r.Context(), decideTime)
}

// status is the first page: how the pipeline stands.
func (s *site) status(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	status, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, "status", view{Title: "Status", Section: "status", Again: again(status.Sources...), Data: status})
}

// again is when a page about these sources is worth another look.
func again(sources ...pipeline.SourceStatus) int {
	if slices.ContainsFunc(sources, isRunning) {
		return soon
	}
	return later
}

func isRunning(one pipeline.SourceStatus) bool {
	return one.Last != nil && one.Last.State == store.Running
}
