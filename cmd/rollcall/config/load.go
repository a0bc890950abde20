package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/console"
)

// Config is a configuration without mistakes.
type Config struct {
	// Path is the file it came from.
	Path string
	Log  Log
	// Pipeline holds everything that runs, but the console.
	Pipeline pipeline.Config
	Console  console.Config
	// Notes are sentences on what is possible and probably not meant.
	Notes []string
}

// Source returns the source of that name, nil if there is none.
func (c *Config) Source(name string) *pipeline.Source {
	for i := range c.Pipeline.Sources {
		if c.Pipeline.Sources[i].Name == name {
			return &c.Pipeline.Sources[i]
		}
	}
	return nil
}

// Load reads the file at path. The error is [Mistakes] when the file could be read.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, connectors.Hint(fmt.Errorf("there is no configuration file %s", path), "rollcall init, or rollcall demo for a first look")
	}
	if err != nil {
		return nil, connectors.Hint(err, "another file: rollcall -c FILE")
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*Config, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: path, dir: filepath.Dir(full), places: map[string]token.Position{}, anchors: map[string]ast.Node{}}
	f := defaults()
	f.DataDir = filepath.Join(d.dir, f.DataDir)
	if top := d.document(text); top != nil {
		d.all(top, &f)
	}
	if len(d.mistakes) > 0 {
		return nil, sorted(d.mistakes)
	}
	return f.compose(path), nil
}

// all decodes and checks the document, the guard first: every source starts from it, wherever it is written.
func (d *decoder) all(top ast.Node, f *file) {
	d.peek("", top, "guard", func(at string, n ast.Node) { decodeInto(d, at, n, &f.Guard) })
	d.guard = f.Guard
	decodeInto(d, "", top, f)
	d.decoded = len(d.wrong)
	f.check(d)
	for _, s := range f.Sources {
		s.check(d, f)
	}
}

func (f *file) compose(path string) *Config {
	c := &Config{Path: path, Log: f.Log, Notes: f.notes(), Console: f.Console.compose(f.DataDir), Pipeline: pipeline.Config{
		DataDir:         f.DataDir,
		NATS:            f.NATS.compose(),
		MetricsListen:   f.Metrics.Listen,
		TracingEndpoint: f.Tracing.Endpoint,
		EventsKeep:      f.Events.Keep,
		StreamBytes:     f.Streams.MaxBytes.compose(),
		Snapshots:       pipeline.Snapshots{Every: f.Snapshots.Every, Keep: f.Snapshots.Keep},
		Mail:            f.Mail.server(),
		Notify:          pipeline.Notify{When: f.Notify.When, To: f.Notify.To},
		PINKeyFile:      f.pinKeyFile(),
		ByHand: pipeline.ByHand{EventCards: f.Events.Cards, OneCard: !f.Cards.Multiple, StorageTargets: f.StorageTargets,
			AuthenticationServers: f.servers(), PINs: f.PINs.rules()},
	}}
	for _, s := range f.Sources {
		c.Pipeline.Sources = append(c.Pipeline.Sources, s.compose(f))
	}
	return c
}

func (n natsSection) compose() pipeline.NATS {
	return pipeline.NATS{URL: n.URL, User: n.User, PasswordFile: n.PasswordFile, CredentialsFile: n.CredentialsFile,
		CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile, Listen: n.Listen, Replicas: n.Replicas}
}

// decodeInto decodes n into what v points to.
func decodeInto[T any](d *decoder, path string, n ast.Node, v *T) {
	d.value(path, n, reflect.ValueOf(v).Elem())
}
