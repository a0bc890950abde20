package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline/mail"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
)

// The roles that a process can take on.
const (
	RoleConnector  = "connector"
	RoleNormalizer = "normalizer"
	RoleReconciler = "reconciler"
	// RoleConsole only asks and sends commands, as package console does with the node's client.
	RoleConsole = "console"
)

// Roles are all roles in the order of a record's way.
var Roles = []string{RoleConnector, RoleNormalizer, RoleReconciler, RoleConsole}

// Config is everything that a pipeline needs to know.
type Config struct {
	// DataDir holds the store and the embedded broker's streams.
	DataDir string
	NATS    NATS
	// EventsKeep is how long events and the history behind them stay.
	EventsKeep time.Duration
	// StreamBytes is the most that streams may have on each server, by their names; none or 0 for no bound.
	StreamBytes map[string]int64
	Sources     []Source
	ByHand      ByHand
	// Mail is where mail leaves, its Host empty for nowhere.
	Mail      mail.Server
	Notify    Notify
	Snapshots Snapshots
	// PINKeyFile holds the key of the PINs; empty for the one that is made in DataDir.
	PINKeyFile string
	// Roles of this process, none for all.
	Roles []string
	// Serves are the sources whose jobs this process takes as a connector worker, none for all.
	Serves []string
	// MetricsListen is where /metrics, /livez, /readyz and /startupz are served, "" for nowhere.
	MetricsListen string
	// Attended is true in a process that runs for a command, which tells its person what became of the runs: they are logged at debug only.
	Attended bool
	// TracingEndpoint is where spans go by OTLP over HTTP, "" for nowhere.
	TracingEndpoint string
	// JobLease is how long a silent connector worker keeps its job before another takes it, 10 s when zero.
	JobLease time.Duration
	// NormalizeRate is how many records a second this process maps at most, 0 for as many as it can.
	NormalizeRate int
}

// ByHand is what decides about what people do by hand.
type ByHand struct {
	// EventCards is how events show cards: full, masked (also for "") or none.
	EventCards string
	// OneCard is true where a new card takes the place of the old ones (K6).
	OneCard bool
	// StorageTargets and AuthenticationServers are the names that users may carry (U12, U13).
	StorageTargets, AuthenticationServers []string
	// PINs are the rules for those given and made by hand.
	PINs policy.PINRules
	// HashPIN returns the keyed hash under which a PIN rests. [Start] sets it.
	HashPIN func(pin string) string
}

// NATS says where the streams are.
type NATS struct {
	// URL of an external server or cluster; empty for the embedded one.
	URL string
	// CredentialsFile is a NATS credentials file for the external server; User and PasswordFile are the other way to sign in.
	CredentialsFile, User, PasswordFile string
	// CAFile holds the authorities that the server's certificate may come from, empty for the system's; CertFile and KeyFile
	// are a client certificate.
	CAFile, CertFile, KeyFile string
	// Listen is where the embedded server listens, a free port on loopback when empty.
	Listen   string
	Replicas int
}

// Source is one configured source.
type Source struct {
	Name    string
	Enabled bool
	// Formerly are names that the source had before: what is known under them becomes its own (S6).
	Formerly []string
	// Schedule is a cron expression of five fields, empty for runs by hand only.
	Schedule string
	Reader   connectors.Config
	// ReconcileEvery is how often a whole run is due beside incremental ones, 24 h when zero.
	ReconcileEvery time.Duration
	// Live keeps a session open in which the source pushes its changes, where its connector can.
	Live bool
	// Export is the file into which the source's users go after every run that was applied, "" for none.
	Export  string
	Mapping mapping.Config
	Options policy.Options
}

// Rules is what decides for a source: an input of the log like any other, published once under its hash.
type Rules struct {
	Kind    string         `json:"kind"`
	Scope   string         `json:"scope"`
	Mapping mapping.Config `json:"mapping"`
	Options policy.Options `json:"options"`
	// Others are the enabled sources, this one included: who may own a user that this one gives up (O3).
	Others []Other `json:"others"`
}

// Other is what the rules of one source must know of another.
type Other struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Contributes bool   `json:"contributes,omitempty"`
}

// other returns the source of that name, nil for one that is not there or switched off.
func (r *Rules) other(name string) *Other {
	for i := range r.Others {
		if r.Others[i].Name == name {
			return &r.Others[i]
		}
	}
	return nil
}

// rules returns what decides for a source.
func (c *Config) rules(s *Source) Rules {
	r := Rules{Kind: s.Reader.Kind(), Scope: s.Reader.Scope(), Mapping: s.Mapping, Options: s.Options}
	for _, other := range c.Sources {
		if other.Enabled {
			r.Others = append(r.Others, Other{Name: other.Name, Label: other.Options.Label, Contributes: other.Options.Ownership == "contribute"})
		}
	}
	slices.SortFunc(r.Others, func(a, b Other) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// Encode returns the rules as published, and their hash in 16 hexadecimal digits. Equal rules encode equally.
func (r Rules) Encode() (data []byte, hash string, err error) {
	data, err = json.Marshal(r)
	if err != nil {
		return nil, "", fmt.Errorf("encode rules of %s: %w", r.Options.Source, err)
	}
	return data, hashOf(data), nil
}

// ScopeHash returns the hash of what is read.
func (r Rules) ScopeHash() string { return hashOf([]byte(r.Scope)) }

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// ErrUnknownSource means that the configuration has no source of that name.
var ErrUnknownSource = errors.New("source is not configured")

// source returns the source of that name.
func (c *Config) source(name string) (*Source, error) {
	for i := range c.Sources {
		if c.Sources[i].Name == name {
			return &c.Sources[i], nil
		}
	}
	return nil, connectors.Hint(fmt.Errorf("%w: %q", ErrUnknownSource, name), "rollcall check lists the sources of the configuration")
}

// served returns the sources whose jobs this process takes.
func (c *Config) served() (sources []Source) {
	for _, s := range c.Sources {
		if len(c.Serves) == 0 || slices.Contains(c.Serves, s.Name) {
			sources = append(sources, s)
		}
	}
	return sources
}

func (c *Config) has(role string) bool { return len(c.Roles) == 0 || slices.Contains(c.Roles, role) }

// works reports whether this process does any part of the work, beyond asking.
func (c *Config) works() bool {
	return c.has(RoleConnector) || c.has(RoleNormalizer) || c.has(RoleReconciler)
}

func (c *Config) jobLease() time.Duration {
	if c.JobLease > 0 {
		return c.JobLease
	}
	return 10 * time.Second
}
