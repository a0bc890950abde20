package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline"
)

// problem is why something is not shown or done. Its JSON is that of the NATS service.
type problem struct {
	Status int    `json:"-"`
	Text   string `json:"error"`
	Try    string `json:"try,omitempty"`
	until  time.Time
}

func (p *problem) Error() string { return p.Text }

var errNoPage = &problem{Status: http.StatusNotFound, Text: "there is no such page", Try: "the links above"}

// problemOf says an error in HTTP's terms.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	p = &problem{Status: http.StatusInternalServerError, Text: err.Error(), Try: connectors.HintOf(err)}
	switch {
	case errors.Is(err, pipeline.ErrNotFound), errors.Is(err, pipeline.ErrUnknownSource):
		p.Status = http.StatusNotFound
	case errors.Is(err, pipeline.ErrBusy):
		p.Status = http.StatusConflict
	case errors.Is(err, pipeline.ErrRefused):
		p.Status = http.StatusUnprocessableEntity
	case errors.Is(err, pipeline.ErrMistake):
		p.Status = http.StatusBadRequest
	case errors.Is(err, pipeline.ErrNoServer):
		p.Status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		p.Status, p.Try = http.StatusGatewayTimeout, "again in a moment: what was asked for may be under way"
	}
	return p
}

// undone is the problem of a decision that was not carried out. Where the reconciler only says so in words, things have moved since.
func undone(err error) error {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		p.Status = http.StatusConflict
	}
	return p
}

// stamp says when to come back, where that is known.
func (p *problem) stamp(h http.Header) {
	if !p.until.IsZero() {
		h.Set("Retry-After", strconv.Itoa(int(time.Until(p.until).Seconds())+1))
	}
}
