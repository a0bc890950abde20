package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

// runs lists the last runs, of one source or of all.
func (s *site) runs(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	source := r.URL.Query().Get("source")
	runs, err := s.client.Runs(ctx, source, lastRuns)
	if err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, "runs", view{Title: "Runs", Section: "runs", Again: later, Data: runs})
}

// run shows a run and its plan, where it has one that waits for a decision or was asked for.
func (s *site) run(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	number, err := runNumber(r)
	if err != nil {
		return err
	}
	data := runView{Only: strings.TrimSpace(r.URL.Query().Get("only"))}
	if data.Run, err = s.client.Run(ctx, r.PathValue("source"), number); err != nil {
		return err
	}
	if data.Run.State == store.Held || data.Run.State == store.Planned {
		if err := s.readPlan(ctx, &data); err != nil {
			return err
		}
	}
	data.Facts = show.Run(data.Run)
	v := view{Title: "Run " + strconv.FormatUint(data.Run.Number, 10) + " of " + data.Run.Source, Section: "runs", Data: &data}
	if data.Run.State == store.Running {
		v.Again = soon
	}
	return s.write(w, r, http.StatusOK, "run", v)
}

// runView is a run's page.
type runView struct {
	Run   store.Run
	Facts []show.Fact
	// Plan holds the first sentences of the plan, those that mention Only; More is true when there are others.
	Plan []string
	Only string
	More bool
}

// Counters are those of the run that are not zero.
func (v *runView) Counters() (some []show.Counter) {
	for _, c := range show.Counters(v.Run) {
		if c.N != 0 {
			some = append(some, c)
		}
	}
	return some
}

// shownSentences is how many sentences of a plan a page shows. The API has all.
const shownSentences = 1000

var errEnough = errors.New("enough")

func (s *site) readPlan(ctx context.Context, v *runView) error {
	wanted := store.Fold(v.Only)
	_, err := s.client.Plan(ctx, v.Run.Source, v.Run.Number, func(e pipeline.PlanEntry) error {
		if !strings.Contains(store.Fold(e.Sentence), wanted) {
			return nil
		}
		if len(v.Plan) == shownSentences {
			v.More = true
			return errEnough
		}
		v.Plan = append(v.Plan, e.Sentence)
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, pipeline.ErrNotFound) { // decided on a moment ago
		return nil
	}
	return err
}

func (s *site) approve(w http.ResponseWriter, r *http.Request) error {
	return s.decide(w, r, "approve", s.client.Approve)
}

func (s *site) reject(w http.ResponseWriter, r *http.Request) error {
	return s.decide(w, r, "reject", s.client.Reject)
}

// decision is one of the two that a person takes about a held run.
type decision func(ctx context.Context, source, hash, actor string) (store.Run, error)

// decide passes on what was decided about the plan whose hash the form has.
func (s *site) decide(w http.ResponseWriter, r *http.Request, what string, decide decision) error {
	ctx, cancel := patiently(w, r)
	defer cancel()
	source := r.PathValue("source")
	s.note(r, what, source)
	run, err := decide(ctx, source, r.PostFormValue("plan"), actorOf(r))
	if err != nil {
		return undone(err)
	}
	http.Redirect(w, r, runPath(run), http.StatusSeeOther)
	return nil
}

// runNumber reads the number in a path; "last" is the source's last run.
func runNumber(r *http.Request) (uint64, error) {
	text := r.PathValue("run")
	if text == "last" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number == 0 {
		return 0, &problem{Status: http.StatusBadRequest, Text: strconv.Quote(text) + " is no run's number", Try: "a number, or last"}
	}
	return number, nil
}
