package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"rollcall/pipeline"
	"rollcall/store"
)

// lastRuns is how many runs a page shows.
const lastRuns = 30

// source shows a source, with what can be asked of it and its last runs.
func (s *site) source(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	name := r.PathValue("source")
	status, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(status.Sources, func(one pipeline.SourceStatus) bool { return one.Name == name })
	if at < 0 {
		return &problem{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no source %q", name), Try: "the sources on the first page"}
	}
	runs, err := s.client.Runs(ctx, name, lastRuns)
	if err != nil {
		return err
	}
	data := struct {
		Source pipeline.SourceStatus
		Runs   []store.Run
	}{status.Sources[at], runs}
	v := view{Title: name, Section: "status", Data: data}
	if isRunning(data.Source) { // else it has a form, whose ticks would be gone
		v.Again = soon
	}
	return s.write(w, r, http.StatusOK, "source", v)
}

// sync asks for a run and goes to where it can be followed.
func (s *site) sync(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	name := r.PathValue("source")
	o := pipeline.SyncOptions{Full: r.PostFormValue("full") != "", DryRun: r.PostFormValue("dry_run") != "",
		RequireApproval: r.PostFormValue("require_approval") != "", Actor: actorOf(r)}
	s.note(r, "sync", name)
	job, err := s.client.Sync(ctx, name, o)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+url.PathEscape(name)+"/"+url.PathEscape(job), http.StatusSeeOther)
	return nil
}

// job waits for the run that answers a request, a look at a time.
func (s *site) job(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	name, job := r.PathValue("source"), r.PathValue("job")
	runs, err := s.client.Runs(ctx, name, lastRuns)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(runs, func(run store.Run) bool { return run.Job == job })
	if at < 0 {
		return s.write(w, r, http.StatusOK, "job", view{Title: name, Section: "status", Again: soon, Data: name})
	}
	http.Redirect(w, r, runPath(runs[at]), http.StatusSeeOther)
	return nil
}

// cancel stops the run that is going.
func (s *site) cancel(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	s.note(r, "cancel", r.PathValue("source"))
	run, err := s.client.Cancel(ctx, r.PathValue("source"), actorOf(r))
	if err != nil {
		return undone(err)
	}
	http.Redirect(w, r, runPath(run), http.StatusSeeOther)
	return nil
}

func runPath(run store.Run) string {
	return fmt.Sprintf("/runs/%s/%d", url.PathEscape(run.Source), run.Number)
}
