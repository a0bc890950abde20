package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/store"
)

// Node is a pipeline running in this process, in one or all of its roles.
type Node struct {
	config Config
	log    zerolog.Logger
	db     *store.DB
	broker *broker.Broker
	bus    *events.Bus
	key    *pinKey
	rules  *ruleBook
	// metricsAddress is where metrics are served, "" for nowhere; traces are those of the revisions that wait.
	metricsAddress string
	traces         traceBook
	// lease is nil beside an embedded server; leading is nil while this process does not lead.
	lease   *lease
	leading atomic.Pointer[leadership]
	stop    context.CancelFunc
	group   *errgroup.Group
	closers []func() error
	// parting is what Stop waits for before it stops the stages, a moment at most.
	parting []func(context.Context)
}

// Names in the data directory.
const (
	storeFile   = "store.db"
	brokerDir   = "nats"
	addressFile = "server.json"
)

// Start opens the store and the broker and starts the stages of the configured roles. It returns when they are ready.
func Start(ctx context.Context, c Config, log zerolog.Logger) (*Node, error) {
	n := &Node{config: c, log: log}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	ctx, err := n.openTracing(ctx)
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	ctx, n.stop = context.WithCancel(ctx)
	n.group, ctx = errgroup.WithContext(ctx)
	if err := n.startStages(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	n.group.Go(func() error { return n.tellPresence(ctx) })
	if err := n.startHealth(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// Client returns a client of this pipeline. It lives as long as the node.
func (n *Node) Client() *Client { return &Client{bus: n.bus} }

// Announce writes the address of the embedded broker into the data directory, readable by its owner only, so that other
// rollcall commands find this process. Stop takes it away.
func (n *Node) Announce() error {
	if n.broker == nil {
		return nil
	}
	path := filepath.Join(n.config.DataDir, addressFile)
	data, err := json.Marshal(address{URL: n.broker.URL(), PID: os.Getpid(), Credentials: n.broker.Credentials()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return err
	}
	n.closers = append(n.closers, func() error { return os.Remove(path) })
	return nil
}

// URL is where NATS clients connect, without who signs in there.
func (n *Node) URL() string { return events.Redacted(n.bus.Conn.ConnectedUrl()) }

// Wait waits until a stage fails or the context of Start is done.
func (n *Node) Wait() error { return n.group.Wait() }

// Stop stops the stages, the broker and the store, in this order.
func (n *Node) Stop() error {
	n.part()
	n.stop()
	err := n.group.Wait()
	return errors.Join(err, n.close())
}

// open opens what the roles need. The store comes first: its lock is what keeps a second process off the directory.
func (n *Node) open(ctx context.Context) error {
	embedded := n.config.NATS.URL == ""
	if embedded && len(n.config.Roles) > 0 && !n.config.has(RoleReconciler) {
		return connectors.Hint(errors.New("a process without the role reconciler has no embedded NATS server"),
			"set nats.url to the server that the reconciler uses, or start all roles")
	}
	if embedded && n.config.has(RoleReconciler) { // its lock keeps a second server off the streams
		if err := n.openStore(store.Options{}); err != nil {
			return err
		}
	}
	if err := n.connect(embedded); err != nil {
		return err
	}
	if !n.config.works() {
		return nil
	}
	if err := n.openStreams(ctx); err != nil {
		return err
	}
	if !embedded && n.config.has(RoleReconciler) {
		if err := n.openShared(ctx); err != nil {
			return err
		}
	}
	if err := n.openKey(); err != nil {
		return err
	}
	err := events.Patiently(ctx, func(ctx context.Context) error { return n.key.announce(ctx, n.bus, n.db != nil, embedded) })
	if err != nil {
		return err
	}
	return events.Patiently(ctx, func(ctx context.Context) (err error) {
		n.rules, err = openRuleBook(ctx, n.bus, n.key)
		return err
	})
}

// openStreams makes the streams where the writer is; the other roles may only look at those that they use.
func (n *Node) openStreams(ctx context.Context) error {
	if n.config.has(RoleReconciler) {
		return n.bus.EnsureStreams(ctx, events.StreamOptions{Replicas: max(1, n.config.NATS.Replicas), Keep: n.config.EventsKeep, MaxBytes: n.config.StreamBytes})
	}
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel()
	var names []string
	for _, role := range n.config.Roles {
		names = append(names, usedStreams[role]...)
	}
	if err := n.bus.AwaitStreams(ctx, names); err != nil {
		return connectors.Hint(err, "start a reconciler, which makes the streams, and see whether nats.user may use them (deployments/nats)")
	}
	return nil
}

// streamsWait is how long a worker waits for the reconciler to make the streams.
const streamsWait = 30 * time.Second

// usedStreams are the streams that a worker's role works with.
var usedStreams = map[string][]string{
	RoleConnector:  {events.JobsStream, events.RawStream, events.ChangesStream, events.LogStream},
	RoleNormalizer: {events.RawStream, events.ChangesStream},
}

func (n *Node) openStore(o store.Options) error {
	if err := os.MkdirAll(n.config.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	db, err := store.Open(filepath.Join(n.config.DataDir, storeFile), o)
	if err != nil {
		return lockedHint(err, n.config.DataDir)
	}
	n.db = db
	n.closers = append(n.closers, db.Close)
	return nil
}

func (n *Node) openKey() (err error) {
	if n.key, err = openPINKey(&n.config, n.db); n.key != nil {
		n.config.ByHand.HashPIN = n.key.Hash
	}
	return err
}

func lockedHint(err error, dir string) error {
	if !errors.Is(err, store.ErrLocked) {
		return err
	}
	return connectors.Hint(err, fmt.Sprintf("another rollcall works on %s: wait for it, stop it, or give this one a data_dir of its own", dir))
}

func (n *Node) connect(embedded bool) (err error) {
	url := n.config.NATS.URL
	options, err := n.config.NATS.Options()
	if err != nil {
		return err
	}
	if embedded {
		n.broker, err = broker.Start(broker.Options{Dir: filepath.Join(n.config.DataDir, brokerDir), Listen: n.config.NATS.Listen, Log: n.log})
		if err != nil {
			return err
		}
		n.closers = append(n.closers, func() error { n.broker.Stop(); return nil })
		url, options = n.broker.URL(), n.broker.Options()
	}
	refused := func(err error) { n.log.Error().Err(err).Msg("NATS refuses") }
	if n.bus, err = events.Connect(url, refused, options...); err != nil {
		return connectors.Hint(err, connectHint)
	}
	n.closers = append(n.closers, func() error { n.bus.Close(); return nil })
	return nil
}

// startStages starts the stages in the reverse order of a record's way, so that each finds the next one ready.
func (n *Node) startStages(ctx context.Context) error {
	if n.broker != nil {
		n.group.Go(func() error { return n.broker.Watch(ctx) })
	}
	if n.config.has(RoleReconciler) {
		if err := n.startReconciler(ctx); err != nil {
			return err
		}
	}
	if n.config.has(RoleNormalizer) {
		stage := newNormalizer(n.bus, n.rules, &n.config, n.log)
		n.group.Go(func() error { return n.insist(ctx, "normalize", stage.run) })
	}
	if n.config.has(RoleConnector) {
		if n.broker != nil { // jobs of a process that died wait for nobody: there can be no other worker here
			if err := n.bus.DropConsumers(ctx, events.JobsStream); err != nil {
				return err
			}
		}
		stage := newWorker(n.bus, n.Client(), &n.config, n.rules, n.log)
		n.group.Go(func() error { return n.insist(ctx, "work", stage.run) })
	}
	if !n.config.works() {
		n.group.Go(func() error { <-ctx.Done(); return nil })
	}
	if n.config.has(RoleConnector) || n.broker != nil { // where the files are that sources are read from
		return n.startExporter(ctx)
	}
	return nil
}

func (n *Node) startExporter(ctx context.Context) error {
	for _, source := range n.config.served() {
		exporter := &exporter{bus: n.bus, client: n.Client(), source: source, log: n.log}
		if err := events.Patiently(ctx, func(ctx context.Context) error { return exporter.open(ctx, n.broker != nil) }); err != nil {
			return err
		}
		if exporter.consumer != nil {
			n.parting = append(n.parting, exporter.settle)
			n.group.Go(func() error { return n.insist(ctx, "export", exporter.run) })
		}
	}
	return nil
}

// part lets mail leave that is on its way, and exports end: a process that runs a source and exits has no later.
func (n *Node) part() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if l := n.leading.Load(); l != nil { // first the results leave that the others wait for
		for _, wait := range l.parting {
			wait(ctx)
		}
	}
	for _, wait := range n.parting {
		wait(ctx)
	}
}

// close undoes open, last first.
func (n *Node) close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}

// ErrNoServer means that no pipeline answers.
var ErrNoServer = errors.New("no rollcall server answers")

// address is where a running server is found.
type address struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
	broker.Credentials
}

// Dial connects to the pipeline that works on this configuration: the external NATS, or the process that serves
// this data directory. It fails with [ErrNoServer] when there is none.
func Dial(ctx context.Context, c Config) (*Client, error) {
	url := c.NATS.URL
	options, err := c.NATS.Options()
	if err != nil {
		return nil, err
	}
	if url == "" {
		a, err := readAddress(filepath.Join(c.DataDir, addressFile))
		if err != nil {
			return nil, err
		}
		url, options = a.URL, []nats.Option{nats.UserInfo(a.User, a.Password)}
	}
	bus, err := events.Connect(url, func(error) {}, append(options, nats.MaxReconnects(3))...)
	if err != nil {
		if c.NATS.URL == "" {
			return nil, fmt.Errorf("%w at %s", ErrNoServer, url) // it died and left its address behind
		}
		return nil, connectors.Hint(err, connectHint)
	}
	client := &Client{bus: bus, owned: true}
	if err := client.greet(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func readAddress(path string) (a address, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, ErrNoServer
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}
