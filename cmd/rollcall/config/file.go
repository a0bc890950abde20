package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	stream "rollcall/events"
	"rollcall/pipeline/policy"
)

// file is the document as it is written, with the defaults of what is not.
type file struct {
	Version               int                   `yaml:"version"`
	DataDir               string                `yaml:"data_dir"`
	NATS                  natsSection           `yaml:"nats"`
	Metrics               metrics               `yaml:"metrics"`
	Console               consoleSection        `yaml:"console"`
	Tracing               tracing               `yaml:"tracing"`
	Log                   Log                   `yaml:"log"`
	AuthenticationServers map[string]authServer `yaml:"authentication_servers"`
	StorageTargets        []string              `yaml:"storage_targets"`
	Mail                  mailSection           `yaml:"mail"`
	Notify                notify                `yaml:"notify"`
	Precedence            []string              `yaml:"precedence"`
	PINs                  pins                  `yaml:"pins"`
	Cards                 cards                 `yaml:"cards"`
	Guard                 policy.Guard          `yaml:"guard"`
	Events                events                `yaml:"events"`
	Streams               streams               `yaml:"streams"`
	Snapshots             snapshots             `yaml:"snapshots"`
	Sources               sources               `yaml:"sources"`
}

// Log says what the log shows and how it looks.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is auto (text on a terminal, JSON elsewhere), text or json.
	Format string `yaml:"format"`
}

type natsSection struct {
	URL             string `yaml:"url"`
	User            string `yaml:"user"`
	PasswordFile    string `yaml:"password_file"`
	CredentialsFile string `yaml:"credentials_file"`
	CAFile          string `yaml:"ca_file"`
	CertFile        string `yaml:"cert_file"`
	KeyFile         string `yaml:"key_file"`
	Listen          string `yaml:"listen"`
	Replicas        int    `yaml:"replicas"`
}

type metrics struct {
	Listen string `yaml:"listen"`
}

// serverKinds are the kinds of servers that MyQ signs people in with.
var serverKinds = []string{"radius", "ldap", "entra"}

type tracing struct {
	Endpoint string `yaml:"endpoint"`
}

type authServer struct {
	Kind   string `yaml:"kind"`
	Domain string `yaml:"domain"`
}

type cards struct {
	Multiple bool `yaml:"multiple"`
}

type events struct {
	Keep  time.Duration `yaml:"keep"`
	Cards string        `yaml:"cards"`
}

type snapshots struct {
	Every time.Duration `yaml:"every"`
	Keep  int           `yaml:"keep"`
}

func defaults() file {
	return file{
		DataDir: "rollcall-data",
		NATS:    natsSection{Replicas: 1},
		Log:     Log{Level: "info", Format: "auto"},
		Mail:    mailSection{Port: 587, Security: "starttls"},
		Notify:  notify{When: "on-error"},
		PINs: pins{MinimumLength: 6, Lifetime: "persistent", OnRaise: "keep",
			Temporary: temporaryPINs{ValidFor: 24 * time.Hour}},
		Cards:  cards{Multiple: true},
		Guard:  policy.DefaultGuard(),
		Events: events{Keep: 2160 * time.Hour, Cards: "masked"},

		Snapshots: snapshots{Every: 6 * time.Hour, Keep: 3},
	}
}

// check notes what cannot be in the sections that concern no single source.
func (f *file) check(d *decoder) {
	if f.Version != 1 {
		d.at("version", "version is missing or not 1", "version: 1")
	}
	d.oneOf("log.level", f.Log.Level, "debug", "info", "warn", "error")
	d.oneOf("log.format", f.Log.Format, "auto", "text", "json")
	d.oneOf("events.cards", f.Events.Cards, "full", "masked", "none")
	if every := f.Snapshots.Every; every != 0 && every < time.Minute {
		d.at("snapshots.every", "snapshots.every: a minute at least, or 0s for none", "6h")
	}
	if f.Snapshots.Keep < 1 {
		d.at("snapshots.keep", "snapshots.keep: one at least", "3")
	}
	f.PINs.check(d)
	if n := f.NATS.Replicas; n != 1 && n != 3 && n != 5 {
		d.at("nats.replicas", "nats.replicas: streams have 1, 3 or 5 replicas", "3 on a cluster of three servers")
	}
	if f.DataDir == "" {
		d.at("data_dir", "data_dir is empty", "./rollcall-data")
	}
	if f.NATS.URL != "" && f.NATS.Listen != "" {
		d.at("nats.listen", "nats.listen is for the embedded server, and nats.url names another one", "one of the two")
	}
	if _, _, err := net.SplitHostPort(f.Metrics.Listen); f.Metrics.Listen != "" && err != nil {
		d.at("metrics.listen", "metrics.listen: "+quote(f.Metrics.Listen)+" is no host:port", "127.0.0.1:9464")
	}
	f.Console.check(d)
	for name, server := range f.AuthenticationServers {
		d.oneOf("authentication_servers."+name+".kind", server.Kind, serverKinds...)
	}
	if u, err := url.Parse(f.Tracing.Endpoint); f.Tracing.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		d.at("tracing.endpoint", "tracing.endpoint: "+quote(f.Tracing.Endpoint)+" is no address of a collector", "http://127.0.0.1:4318/v1/traces")
	}
	f.checkServers(d)
	f.NATS.checkUser(d)
	f.checkMail(d)
	for i, name := range f.Precedence {
		if f.Sources.named(name) == nil {
			d.at(index("precedence", i), "precedence: there is no source "+quote(name), f.Sources.names())
		}
	}
}

// natsName is a user's name that may stand in a subject: answers come below it.
var natsName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// checkUser notes what would keep the client from signing in.
func (n *natsSection) checkUser(d *decoder) {
	if n.User != "" && !natsName.MatchString(n.User) {
		d.at("nats.user", "nats.user: "+quote(n.User)+" has more than letters, digits, - and _", "connector-corp")
	}
	if n.User != "" && n.PasswordFile == "" {
		d.at("nats.user", "nats.user signs in with the password in nats.password_file, which is not given", "password_file: /run/secrets/nats")
	}
	if n.User != "" && n.CredentialsFile != "" {
		d.at("nats.credentials_file", "nats.credentials_file and nats.user are two ways to sign in", "one of the two")
	}
	if (n.CertFile == "") != (n.KeyFile == "") {
		d.at("nats.cert_file", "nats.cert_file and nats.key_file go together", "both, or none")
	}
	if n.URL == "" && (n.User != "" || n.CredentialsFile != "" || n.CAFile != "" || n.CertFile != "") {
		d.at("nats.url", "nats.url is empty, and the embedded server needs no user and no certificates", "url: tls://nats-1:4222")
	}
}

// checkServers notes addresses that nobody can be reached at.
func (f *file) checkServers(d *decoder) {
	for one := range strings.SplitSeq(f.NATS.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if one != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)) {
			d.at("nats.url", "nats.url: "+quote(stream.Redacted(one))+" is no NATS server's address", "nats://a:4222,nats://b:4222")
		}
	}
}
