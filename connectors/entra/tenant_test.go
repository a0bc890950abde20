package entra

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

const (
	clientID = "11111111-2222-3333-4444-555555555555"
	secret   = "s3cr~3t-Of.The.Application-0123456789"
)

// tenant is a test's service, with an application that may sign in and read.
type tenant struct {
	*graphtest.Server
	t   *testing.T
	cfg Config
	log bytes.Buffer
	dir string
}

func newTenant(t *testing.T, o graphtest.Options) *tenant {
	t.Helper()
	o.Record = true
	s, err := graphtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	tn := &tenant{Server: s, t: t, dir: t.TempDir()}
	s.Register(graphtest.App{ClientID: clientID, Secret: secret, Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
	tn.cfg = Config{
		Cloud: "custom", Authority: s.URL, GraphURL: s.URL, TenantID: s.Tenant(), ClientID: clientID,
		ClientSecretFile: tn.file("secret", []byte(secret+"\n")),
		CAFile:           tn.file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	}
	return tn
}

func (tn *tenant) file(name string, content []byte) string {
	path := filepath.Join(tn.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tn.t.Fatal(err)
	}
	return path
}

// open returns a connector whose waits pass on the service's clock, not on ours.
func (tn *tenant) open(attributes ...string) *connector {
	tn.t.Helper()
	c, err := tn.cfg.Open(connectors.Env{Source: "cloud", Attributes: attributes, Log: zerolog.New(&tn.log)})
	if err != nil {
		tn.t.Fatal(err)
	}
	conn := c.(*connector)
	conn.client.wait = func(ctx context.Context, d time.Duration) error {
		tn.Advance(d)
		return ctx.Err()
	}
	return conn
}

// memory is what a receiver of records knows: whole records by key, as ingest would keep them.
type memory map[string]connectors.Record

// take merges a record.
func (m memory) take(r connectors.Record) error {
	switch old, known := m[r.Key]; {
	case r.Deleted:
		delete(m, r.Key)
		return nil
	case r.Partial && known:
		r.Attributes = mergeAttributes(old.Attributes, r.Attributes)
	default:
		r.Attributes = cloneAttributes(r.Attributes)
	}
	r.Partial = false
	m[r.Key] = r
	return nil
}

func mergeAttributes(old, changed []connectors.Attribute) []connectors.Attribute {
	byName := map[string]connectors.Attribute{}
	for _, a := range append(slices.Clone(old), changed...) {
		byName[a.Name] = connectors.Attribute{Name: a.Name, Values: slices.Clone(a.Values)}
	}
	var list []connectors.Attribute
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[name])
	}
	return list
}

func (tn *tenant) read(c *connector, since connectors.Checkpoint, m memory) connectors.Outcome {
	tn.t.Helper()
	o, err := c.Read(context.Background(), since, m.take)
	if err != nil {
		tn.t.Fatal(err)
	}
	return o
}

// values returns an attribute as text: "a|b", "empty" when it is listed without values, "-" when it is not listed.
func values(r connectors.Record, name string) string {
	for _, a := range r.Attributes {
		if a.Name == name {
			if len(a.Values) == 0 {
				return "empty"
			}
			return strings.Join(a.Values, "|")
		}
	}
	return "-"
}

func fill(d *graphtest.Directory, n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, d.AddUser(graphtest.Properties{
			"userPrincipalName": fmt.Sprintf("user%05d@example.org", i), "displayName": fmt.Sprintf("User %d", i),
			"accountEnabled": true, "userType": "Member", "mail": fmt.Sprintf("user%05d@example.org", i), "department": "Sales & <Support>",
		}))
	}
	return ids
}
