package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

// api answers programs in JSON: one document, or one a line where there are many, as the command line prints them.
func (s *site) api() http.Handler {
	mux := http.NewServeMux()
	call := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer := &answer{ResponseWriter: w}
			if err := fn(answer, r); err != nil && !answer.begun {
				refuseAPI(w, r, problemOf(err))
			} else if err != nil {
				panic(http.ErrAbortHandler) // the caller must not take a part for the whole
			}
		})
	}
	call("GET /api/v1/status", s.apiStatus)
	call("GET /api/v1/runs", s.apiRuns)
	call("GET /api/v1/runs/{source}/{run}", s.apiRun)
	call("GET /api/v1/plans/{source}", s.apiPlan)
	call("POST /api/v1/plans/{source}/approve", s.apiDecide("approve", s.client.Approve))
	call("POST /api/v1/plans/{source}/reject", s.apiDecide("reject", s.client.Reject))
	call("POST /api/v1/sources/{source}/sync", s.apiSync)
	call("POST /api/v1/sources/{source}/cancel", s.apiCancel)
	call("GET /api/v1/users", s.apiUsers)
	call("GET /api/v1/users/{name}", s.apiUser)
	call("GET /api/v1/groups", s.apiGroups)
	call("/api/v1/", func(http.ResponseWriter, *http.Request) error { return errNoCall })
	return mux
}

var errNoCall = &problem{Status: http.StatusNotFound, Text: "the API has no such call", Try: "the README, under \"The console\""}

// answer knows whether anything was written.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap implements what [http.ResponseController] looks for.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

const (
	oneDocument   = "application/json"
	manyDocuments = "application/x-ndjson"
)

// refuseAPI answers a problem.
func refuseAPI(w http.ResponseWriter, _ *http.Request, p *problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rollcall"`)
	}
	w.Header().Set("Content-Type", oneDocument)
	p.stamp(w.Header())
	w.WriteHeader(p.Status)
	_ = show.Line(w, p)
}

func respond(w http.ResponseWriter, document any) error {
	w.Header().Set("Content-Type", oneDocument)
	return show.Line(w, document)
}

func (s *site) apiStatus(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	status, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	return respond(w, status)
}

// maxRuns is how many runs may be asked for at once.
const maxRuns = 1000

func (s *site) apiRuns(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxRuns {
			return &problem{Status: http.StatusBadRequest, Text: "limit: " + strconv.Quote(text) + " is not possible", Try: "1 to " + strconv.Itoa(maxRuns)}
		}
	}
	runs, err := s.client.Runs(ctx, r.URL.Query().Get("source"), limit)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", manyDocuments)
	for _, run := range runs {
		if err := show.Line(w, run); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) apiRun(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	number, err := runNumber(r)
	if err != nil {
		return err
	}
	run, err := s.client.Run(ctx, r.PathValue("source"), number)
	if err != nil {
		return err
	}
	return respond(w, run)
}

// apiPlan answers the plan of the held run, or of a run that is named, with all its changes.
func (s *site) apiPlan(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := patiently(w, r)
	defer cancel()
	var number uint64
	if text := r.URL.Query().Get("run"); text != "" {
		var err error
		if number, err = strconv.ParseUint(text, 10, 64); err != nil {
			return &problem{Status: http.StatusBadRequest, Text: "run: " + strconv.Quote(text) + " is no run's number", Try: "a number"}
		}
	}
	w.Header().Set("Content-Type", oneDocument)
	return show.Plan(ctx, w, s.client, r.PathValue("source"), number)
}

func (s *site) apiDecide(what string, decide decision) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Plan string `json:"plan"`
		}
		if err := read(r, &body); err != nil {
			return err
		}
		ctx, cancel := patiently(w, r)
		defer cancel()
		s.note(r, what, r.PathValue("source"))
		run, err := decide(ctx, r.PathValue("source"), body.Plan, actorOf(r))
		if err != nil {
			return undone(err)
		}
		return respond(w, run)
	}
}

// apiSync asks for a run and answers its job, by which the run is known among the source's runs.
func (s *site) apiSync(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Full            bool `json:"full"`
		DryRun          bool `json:"dry_run"`
		RequireApproval bool `json:"require_approval"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	ctx, cancel := asking(r)
	defer cancel()
	name := r.PathValue("source")
	s.note(r, "sync", name)
	job, err := s.client.Sync(ctx, name, pipeline.SyncOptions{Full: body.Full, DryRun: body.DryRun, RequireApproval: body.RequireApproval, Actor: actorOf(r)})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", oneDocument)
	w.WriteHeader(http.StatusAccepted)
	return show.Line(w, struct {
		Source string `json:"source"`
		Job    string `json:"job"`
	}{name, job})
}

func (s *site) apiCancel(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	s.note(r, "cancel", r.PathValue("source"))
	run, err := s.client.Cancel(ctx, r.PathValue("source"), actorOf(r))
	if err != nil {
		return undone(err)
	}
	return respond(w, run)
}

func (s *site) apiUsers(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := patiently(w, r)
	defer cancel()
	about := r.URL.Query()
	q := pipeline.UserQuery{Text: about.Get("q"), Source: about.Get("source"), Group: about.Get("group"), Inactive: about.Get("inactive") == "true"}
	w.Header().Set("Content-Type", manyDocuments)
	return s.client.Users(ctx, q, func(u store.User) error { return show.Line(w, u) })
}

func (s *site) apiUser(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	u, err := s.client.User(ctx, r.PathValue("name"))
	if err != nil {
		return err
	}
	return respond(w, u)
}

func (s *site) apiGroups(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := patiently(w, r)
	defer cancel()
	w.Header().Set("Content-Type", manyDocuments)
	return s.client.Groups(ctx, func(g pipeline.GroupInfo) error { return show.Line(w, g) })
}

// read reads a request's document; none is an empty one.
func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return &problem{Status: http.StatusBadRequest, Text: "the request is not what is expected: " + err.Error(), Try: `{"plan":"3f9a1c22"}, {"dry_run":true}`}
}
