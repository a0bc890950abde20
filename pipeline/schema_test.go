package pipeline_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// schemas compiles the published schemas, by file name without ending.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	names, err := fs.Glob(events.Schemas, "*.schema.json")
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := events.Schemas.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err == nil {
			err = c.AddResource("rollcall:"+strings.TrimSuffix(name, ".schema.json"), doc)
		}
		if err != nil {
			t.Fatal(name, err)
		}
	}
	all := map[string]*jsonschema.Schema{}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".schema.json")
		if all[name], err = c.Compile("rollcall:" + name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// valid fails the test unless the schema allows the body.
func valid(t *testing.T, s *jsonschema.Schema, body []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = s.Validate(doc)
	}
	if err != nil {
		t.Errorf("%s\n%v", body, err)
	}
}

// What the pipeline publishes is what the schemas say, whatever happened; and every property that a user can have is in them.
func TestSchemas(t *testing.T) {
	s := schemas(t)
	dir := newRoster().people(20)
	c := newCompany(t, dir, func(o *pipeline.Source) {
		o.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}}
		o.Mapping.Groups = []mapping.GroupRule{{By: "template", Value: "Units|%unit%", MakeDefault: true}}
		o.Options.PINs = policy.PINRules{MinimumLength: 4, Generate: true}
	})
	c.start()
	chance := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		c.anything(dir, chance)
	}
	c.settled()
	kinds := map[string]int{}
	err := c.client.Users(t.Context(), pipeline.UserQuery{Inactive: true}, func(u store.User) error { // what users list --json prints
		kinds["listed"]++
		valid(t, s["snapshot-line"], slices.Concat([]byte(`{"user":`), mustJSON(t, u), []byte("}")))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	c.withBus(func(bus *events.Bus) {
		err := bus.ReadAll(context.Background(), events.UsersStream, ">", func(msg jetstream.Msg) error {
			parts := strings.Split(msg.Subject(), ".")
			kinds[parts[1]]++
			valid(t, s[strings.TrimSuffix(parts[1], "s")+"-changed"], msg.Data())
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		reply, err := bus.Conn.Request(events.SnapshotRequest, nil, 10e9)
		if err != nil || reply.Header.Get("Nats-Service-Error") != "" {
			t.Fatal(err, reply)
		}
		object, err := bus.JetStream.ObjectStore(context.Background(), "rollcall_bootstrap")
		if err != nil {
			t.Fatal(err)
		}
		list, err := object.List(context.Background())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		data, err := object.GetBytes(context.Background(), list[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			kinds["line"]++
			valid(t, s["snapshot-line"], line)
		}
	})
	if kinds["users"] == 0 || kinds["groups"] == 0 || kinds["line"] < 20 || kinds["listed"] < 20 {
		t.Errorf("too little to look at: %v", kinds)
	}
	full := store.User{ID: "71aea98b-2ccf-4093-a71d-3b46dc11aeea", Revision: 1, Active: true, Label: "corp", Administrator: true}
	for _, p := range store.Properties() {
		if p.Multi() {
			full.List[p.List()] = []store.Value{{V: "1", Origins: []string{"corp"}}}
		} else {
			full.Text[p] = "true"
		}
	}
	valid(t, s["snapshot-line"], append(full.AppendJSON([]byte(`{"user":`), store.CardsMasked), '}'))
}

// The columns of an export are those that its schema names, in their order.
func TestExportSchema(t *testing.T) {
	var schema struct {
		Fields []struct {
			Name, Type string
			Position   int
		}
	}
	text, err := os.ReadFile("../deployments/export.schema.json")
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newCompany(t, newRoster().people(2)).start()
	c.applied("read 2, created 2")
	for _, o := range []pipeline.ExportOptions{{}, {HashedPINs: true}, {Positional: true}} {
		var want []string
		for i, f := range schema.Fields {
			if f.Position != 0 && f.Position != i+1 {
				t.Errorf("%s is at %d, and its position is %d", f.Name, i+1, f.Position)
			}
			if o.Positional && f.Position != 0 || !o.Positional && f.Name != "PWD" && (f.Name != "PIN" || o.HashedPINs) {
				want = append(want, f.Name)
			}
		}
		var out bytes.Buffer
		if _, err := c.client.Export(t.Context(), &out, o); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows[0]) != len(want) || !o.Positional && !slices.Equal(rows[0], want) {
			t.Errorf("%+v: columns %q, the schema has %q (%v)", o, rows[0], want, err)
		}
	}
}
