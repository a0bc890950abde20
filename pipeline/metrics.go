package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/store"
)

// metrics is what Prometheus scrapes of a process. Its labels are sources, states, stages and streams, never users.
type metrics struct {
	registry *prometheus.Registry
	runs     *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	read     *prometheus.CounterVec
	trips    *prometheus.CounterVec
}

// newMetrics returns the metrics of a process; config names the sources whose counters begin at nought.
func newMetrics(config *Config, bus *events.Bus) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_runs_total",
			Help: "Runs by their result since this process began to listen."}, []string{"source", "state"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_run_duration_seconds",
			Help: "How long runs took from their start to their result.", Buckets: []float64{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600}}, []string{"source"}),
		read: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_records_read_total",
			Help: "Entries that runs saw in their source."}, []string{"source"}),
		trips: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_guard_trips_total",
			Help: "Runs that the guard held because they would have changed too much."}, []string{"source"}),
	}
	for _, s := range config.Sources {
		for _, state := range []string{store.Applied, store.Held, store.Failed, store.Cancelled, store.Planned} {
			m.runs.WithLabelValues(s.Name, state)
		}
		m.seconds.WithLabelValues(s.Name)
		m.read.WithLabelValues(s.Name)
		m.trips.WithLabelValues(s.Name)
	}
	connected := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_nats_connected", Help: "1 while NATS is connected, else 0."},
		func() float64 { return oneIf(bus.Conn.IsConnected()) })
	reconnects := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "rollcall_nats_reconnects_total", Help: "How often NATS was connected again."},
		func() float64 { return float64(bus.Conn.Stats().Reconnects) })
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), connected, reconnects)
	return m
}

// listen counts results of runs as they are published. It runs where a store is: the leader and its standbys count the same.
func (m *metrics) listen(bus *events.Bus, leading func() bool) error {
	leads := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_leader", Help: "1 in the reconciler that leads, 0 in one that stands by."},
		func() float64 { return oneIf(leading()) })
	m.registry.MustRegister(m.runs, m.seconds, m.read, m.trips, leads)
	_, err := bus.Conn.Subscribe(events.RunSubject("*", "*"), func(msg *nats.Msg) {
		var run store.Run
		if json.Unmarshal(msg.Data, &run) == nil && events.GenuineResult(msg.Subject, msg.Header, run.State, run.Source) {
			m.count(&run)
		}
	})
	return err
}

func (m *metrics) count(run *store.Run) {
	m.runs.WithLabelValues(run.Source, run.State).Inc()
	m.seconds.WithLabelValues(run.Source).Observe(run.Seconds)
	m.read.WithLabelValues(run.Source).Add(float64(run.Read))
	if run.State == store.Held && run.Reason != approvalAskedFor {
		m.trips.WithLabelValues(run.Source).Inc()
	}
}

// standing collects how the pipeline stands at the moment of a scrape.
type standing struct {
	gauge  *gauge
	config *Config
	log    zerolog.Logger
}

// scrapePatience is how long NATS may take to answer while a scrape waits.
const scrapePatience = 5 * time.Second

var (
	pendingDesc   = prometheus.NewDesc("rollcall_stage_pending_messages", "What waits for a stage: records for the normalizer, messages of the log for the reconciler, revisions for the relay.", []string{"stage"}, nil)
	unappliedDesc = prometheus.NewDesc("rollcall_unapplied_change_age_seconds", "Age of the oldest record or message of the log that is not applied yet, 0 for none.", nil, nil)
	unrelayedDesc = prometheus.NewDesc("rollcall_unrelayed_change_age_seconds", "Age of the oldest revision that is no event yet, 0 for none.", nil, nil)
	usersDesc     = prometheus.NewDesc("rollcall_users", "Users by state.", []string{"state"}, nil)
	entriesDesc   = prometheus.NewDesc("rollcall_source_entries", "Entries of a source that are not gone.", []string{"source"}, nil)
	heldDesc      = prometheus.NewDesc("rollcall_held_runs", "Runs that wait for a decision.", []string{"source"}, nil)
	lastDesc      = prometheus.NewDesc("rollcall_last_applied_run_timestamp_seconds", "When the last run of a source was applied, 0 for never.", []string{"source"}, nil)
	deadDesc      = prometheus.NewDesc("rollcall_dead_letters", "Dead letters that nobody dealt with.", nil, nil)
	storeDesc     = prometheus.NewDesc("rollcall_store_size_bytes", "Size of the store's file.", nil, nil)
	diskFreeDesc  = prometheus.NewDesc("rollcall_disk_free_bytes", "Free bytes on the disk under the store.", nil, nil)
	diskSizeDesc  = prometheus.NewDesc("rollcall_disk_size_bytes", "Size of the disk under the store.", nil, nil)
	streamDesc    = prometheus.NewDesc("rollcall_stream_size_bytes", "Size of a stream.", []string{"stream"}, nil)
	limitDesc     = prometheus.NewDesc("rollcall_stream_limit_bytes", "The most that a stream may have, 0 for no bound of its own.", []string{"stream"}, nil)
	messagesDesc  = prometheus.NewDesc("rollcall_stream_messages", "Messages in a stream.", []string{"stream"}, nil)
	alarmsDesc    = prometheus.NewDesc("rollcall_alarms", "What will soon be full or lost; rollcall status says it in words.", nil, nil)
	upDesc        = prometheus.NewDesc("rollcall_standing_known", "1 when NATS and the store told how the pipeline stands, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *standing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pendingDesc, unappliedDesc, unrelayedDesc, usersDesc, entriesDesc, heldDesc, lastDesc, deadDesc, storeDesc,
		diskFreeDesc, diskSizeDesc, streamDesc, limitDesc, messagesDesc, alarmsDesc, upDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What cannot be had is left out.
func (s *standing) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	err := errors.Join(s.tellStore(tell), s.tellLag(ctx, tell))
	if err != nil {
		s.log.Warn().Err(err).Msg("metrics are not complete")
	}
	tell(upDesc, oneIf(err == nil))
}

type teller func(d *prometheus.Desc, value float64, labels ...string)

func (s *standing) tellStore(tell teller) error {
	return s.gauge.db.View(func(tx *store.Tx) error {
		users, active := tx.CountUsers()
		tell(usersDesc, float64(active), "active")
		tell(usersDesc, float64(users-active), "inactive")
		for _, source := range s.config.Sources {
			state, err := tx.Source(source.Name)
			if err != nil {
				return err
			}
			last, err := lastApplied(tx, state)
			if err != nil {
				return err
			}
			tell(entriesDesc, float64(state.Entries), source.Name)
			tell(heldDesc, oneIf(state.Held != 0), source.Name)
			tell(lastDesc, last, source.Name)
		}
		return nil
	})
}

// lastApplied returns when the last applied run of a source ended, in seconds of the epoch, 0 for none.
func lastApplied(tx *store.Tx, source *store.Source) (float64, error) {
	if source.Applied == 0 {
		return 0, nil
	}
	run, err := tx.Run(source.Name, source.Applied)
	if err != nil || run == nil {
		return 0, err
	}
	return float64(run.Finished.UnixMilli()) / 1000, nil
}

func (s *standing) tellLag(ctx context.Context, tell teller) error {
	lag, room, err := s.gauge.measure(ctx)
	if err != nil {
		return err
	}
	tell(pendingDesc, float64(lag.Records), RoleNormalizer)
	tell(pendingDesc, float64(lag.Messages), RoleReconciler)
	tell(pendingDesc, float64(lag.Revisions), "relay")
	tell(unappliedDesc, lag.Unapplied)
	tell(unrelayedDesc, lag.Unrelayed)
	for _, stream := range room.Streams {
		tell(streamDesc, float64(stream.Bytes), stream.Name)
		tell(limitDesc, float64(stream.Limit), stream.Name)
		tell(messagesDesc, float64(stream.Messages), stream.Name)
		if stream.Name == events.DeadStream {
			tell(deadDesc, float64(stream.Messages))
		}
	}
	tell(storeDesc, float64(room.Store))
	tell(diskFreeDesc, float64(room.DiskFree))
	tell(diskSizeDesc, float64(room.DiskSize))
	tell(alarmsDesc, float64(len(Alarms(lag, room, s.config.EventsKeep))))
	return nil
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
