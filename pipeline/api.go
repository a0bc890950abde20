// Package pipeline is a declaration to compile against; the real package replaces it when merged.
package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

type Config struct {
	DataDir    string
	NATS       NATS
	EventsKeep time.Duration
	Sources    []Source
	Roles      []string
}
type NATS struct {
	URL, CredentialsFile, Listen string
	Replicas                     int
}
type Source struct {
	Name     string
	Enabled  bool
	Schedule string
	Reader   connectors.Config
	Mapping  mapping.Config
	Options  policy.Options
}
type Rules struct{}

func (s *Source) Rules() Rules { return Rules{} }

var (
	ErrNoServer = errors.New("no server")
	ErrBusy     = errors.New("busy")
	ErrNotFound = errors.New("not found")
	errStub     = errors.New("declaration only")
)

type Node struct{}

func Start(ctx context.Context, c Config, log zerolog.Logger) (*Node, error) { return nil, errStub }
func (n *Node) Wait() error                                                  { return errStub }
func (n *Node) Stop() error                                                  { return errStub }
func (n *Node) Client() *Client                                              { return nil }

func Dial(ctx context.Context, c Config) (*Client, error) { return nil, ErrNoServer }
func Preview(ctx context.Context, src Source, n int, fn func(connectors.Record, mapping.Change, error) error, log zerolog.Logger) error {
	return errStub
}

type SyncOptions struct {
	Full, DryRun, RequireApproval bool
	Actor                         string
}
type Progress struct {
	Source, Stage                           string
	Read, Published, Mapped, Applied, Total int
	Seconds                                 float64
}
type PlanEntry struct {
	Action     string            `json:"action"`
	UserName   string            `json:"user_name"`
	Entry      string            `json:"-"`
	Sentence   string            `json:"-"`
	Properties map[string]events.OldNew `json:"properties,omitempty"`
	Reason     string            `json:"reason,omitempty"`
}
type UserQuery struct {
	Inactive     bool
	Source, Text string
}
type EventOptions struct {
	Since  time.Time
	After  uint64
	Type   string
	Follow bool
}
type DeadLetter struct {
	ID                           uint64
	Time                         time.Time
	Stage, Source, Entry, Reason string
}
type Status struct{}

var Roles = []string{"connector", "normalizer", "reconciler"}

type Client struct{}

func (c *Client) Close() {}
func (c *Client) Sync(ctx context.Context, source string, o SyncOptions) (job string, err error) {
	return "", errStub
}
func (c *Client) Follow(ctx context.Context, source, job string, progress func(Progress)) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Runs(ctx context.Context, source string, limit int) ([]store.Run, error) {
	return nil, errStub
}
func (c *Client) Run(ctx context.Context, source string, number uint64) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Plan(ctx context.Context, source string, run uint64, fn func(PlanEntry) error) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Approve(ctx context.Context, source, hash, actor string) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Reject(ctx context.Context, source, hash, actor string) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Cancel(ctx context.Context, source, actor string) (store.Run, error) {
	return store.Run{}, errStub
}
func (c *Client) Users(ctx context.Context, q UserQuery, fn func(store.User) error) error {
	return errStub
}
func (c *Client) User(ctx context.Context, name string) (store.User, error) {
	return store.User{}, errStub
}

func (c *Client) Events(ctx context.Context, o EventOptions, fn func(events.UserChanged) error) error {
	return errStub
}
func (c *Client) Dead(ctx context.Context, fn func(DeadLetter) error) error { return errStub }
func (c *Client) DropDead(ctx context.Context, id uint64) error             { return errStub }
func (c *Client) RetryDead(ctx context.Context, id uint64) error            { return errStub }
func (c *Client) Status(ctx context.Context) (Status, error)                { return Status{}, errStub }
