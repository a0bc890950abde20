package config

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"golang.org/x/tools/txtar"

	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
)

var update = flag.Bool("update", false, "write what is found into the golden files")

// Each file in testdata is a configuration and every mistake that is found in it.
func TestMistakes(t *testing.T) {
	t.Setenv("PEOPLE", "people.csv")
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := "none\n"
			if _, err := parse("rollcall.yaml", archive.Files[0].Data); err != nil {
				got = err.Error() + "\n"
			}
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(archive.Files[1].Data); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// The commented example holds every option there is, and no mistake.
func TestExampleIsComplete(t *testing.T) {
	d, f := decoded(t, "../../../deployments/rollcall.yaml")
	for _, path := range slices.Sorted(maps.Keys(optionsOf("", reflect.ValueOf(f).Elem()))) {
		if _, mentioned := d.places[path]; !mentioned && !strings.HasPrefix(path, "sources.") {
			t.Errorf("%s is not in deployments/rollcall.yaml", path)
		}
	}
	mentioned := map[string]bool{}
	for path := range d.places {
		if rest, ok := strings.CutPrefix(path, "sources."); ok {
			_, option, _ := strings.Cut(rest, ".")
			mentioned[option] = true
			if rule, ok := strings.CutPrefix(option, "mapping."); ok {
				_, part, _ := strings.Cut(rule, ".")
				mentioned["mapping.*."+part] = true
			}
			if rule, ok := strings.CutPrefix(option, "groups.rules["); ok {
				_, part, _ := strings.Cut(rule, ".")
				mentioned["groups.rules[]."+part] = true
			}
		}
	}
	all := optionsOf("", reflect.ValueOf(source{}))
	for _, open := range kinds {
		maps.Copy(all, optionsOf("", reflect.ValueOf(open()).Elem()))
	}
	for part := range optionsOf("", reflect.ValueOf(parts{})) {
		all["mapping.*."+part] = true
	}
	for part := range optionsOf("", reflect.ValueOf(groupRule{})) {
		all["groups.rules[]."+part] = true
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		inherited := strings.HasPrefix(path, "guard.") // stands in full at the top
		if !mentioned[path] && !inherited {
			t.Errorf("sources.….%s is not in deployments/rollcall.yaml", path)
		}
	}
}

// The configuration of the interface contract loads as it stands there, with ids where that has "…".
func TestContractLoads(t *testing.T) {
	c, err := Load("testdata/interface.yaml")
	if err != nil {
		t.Fatal(err)
	}
	corp := c.Source("corp")
	if corp == nil || len(c.Pipeline.Sources) != 3 || c.Pipeline.Sources[0].Name != "people" {
		t.Fatalf("sources: %+v", c.Pipeline.Sources)
	}
	for property, want := range map[string]mapping.Rule{
		"full_name":       {From: []string{"displayName", "cn"}},
		"aliases":         {From: []string{"userPrincipalName", "mailNickname"}},
		"cards":           {From: []string{"pager"}, Transform: []string{"hex2dec()", "lpad(10,0)"}},
		"personal_number": {From: []string{"employeeID"}, Regex: `^E(\d+)$`},
		"department":      {From: []string{"department"}, Default: "Unknown"},
		"pins":            {From: []string{"extensionAttribute1"}, Kind: "temporary", ValidFor: 168 * time.Hour},
		"user_storage":    {From: []string{"homeDirectory"}, Type: "folder"},
		"custom_1":        {Template: "%company%/%physicalDeliveryOfficeName%"},
		"user_name":       {From: []string{"sAMAccountName"}},
		"email":           {From: []string{"mail"}},
	} {
		if got := corp.Mapping.Properties[property]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", property, got, want)
		}
	}
	if got := corp.Options.Merge; !maps.Equal(got, map[string]string{"cards": "add-new", "department": "if-not-empty", "groups": "full-own"}) {
		t.Errorf("merge: %v", got)
	}
	if o := corp.Options; o.UseAuthenticationServer != "true" || !slices.Equal(o.AuthenticationServers, []string{"radius1", "corp", "cloud"}) {
		t.Errorf("servers: %q of %q", o.UseAuthenticationServer, o.AuthenticationServers)
	}
	if !corp.Mapping.Lowercase || len(corp.Mapping.Groups) != 4 || corp.Mapping.GroupsUnder != "Imported|Corp" {
		t.Errorf("mapping: %+v", corp.Mapping)
	}
	if c.Pipeline.EventsKeep != 2160*time.Hour || !filepath.IsAbs(c.Pipeline.DataDir) {
		t.Errorf("pipeline: %+v", c.Pipeline)
	}
}

func TestStreamSizes(t *testing.T) {
	for text, want := range map[string]map[string]int64{
		"raw: 4GiB, log: 500 MiB, users: 0": {"ROLLCALL_RAW": 4 << 30, "ROLLCALL_LOG": 500 << 20, "ROLLCALL_USERS": 0, "ROLLCALL_CHANGES": 0, "ROLLCALL_RUNS": 0, "ROLLCALL_DEAD": 0},
		"raw: 1TiB, changes: 2MiB, log: 3MiB, users: 4MiB, runs: 5MiB, dead: 6MiB": {"ROLLCALL_RAW": 1 << 40, "ROLLCALL_CHANGES": 2 << 20, "ROLLCALL_LOG": 3 << 20, "ROLLCALL_USERS": 4 << 20,
			"ROLLCALL_RUNS": 5 << 20, "ROLLCALL_DEAD": 6 << 20},
	} {
		c, err := parse("rollcall.yaml", []byte("version: 1\nstreams: {max_bytes: {"+text+"}}\nsources: {}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Pipeline.StreamBytes; !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if _, err := parse("rollcall.yaml", []byte("version: 1\nstreams: {max_bytes: {raw: 4 gigs}}\nsources: {}\n")); err == nil || !strings.Contains(err.Error(), `streams.max_bytes.raw: "4 gigs" is no size`) {
		t.Error(err)
	}
}

// A source's guard stands over the global one, key by key, wherever that is written.
func TestGuardKeyByKey(t *testing.T) {
	c, err := parse("rollcall.yaml", []byte(`version: 1
sources:
  people: {kind: csv, path: p.csv, guard: {deactivate: {percent: 2}}}
guard: {deactivate: {floor: 7}, hold_on_scope_change: false}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := policy.DefaultGuard()
	want.Deactivate = policy.Limit{Floor: 7, Percent: 2, Maximum: 500}
	want.HoldOnScopeChange = false
	if got := c.Pipeline.Sources[0].Options.Guard; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A mapping stands over the preset, key by key: none removes, a rule without a source keeps the preset's.
func TestMappingOverPreset(t *testing.T) {
	c, err := parse("rollcall.yaml", []byte(`version: 1
sources:
  people:
    kind: csv
    path: p.csv
    mapping: {phone: none, department: TEAM, cards: {merge: add-new}, custom_1: "%A% %B%", default_language: {value: ""}}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Pipeline.Sources[0].Mapping.Properties
	if _, there := p["phone"]; there {
		t.Error("phone is still mapped")
	}
	empty := ""
	for property, want := range map[string]mapping.Rule{
		"department":       {From: []string{"TEAM"}},
		"cards":            {From: []string{"CARDS"}, Split: ","},
		"custom_1":         {Template: "%A% %B%"},
		"default_language": {Value: &empty},
		"user_name":        {From: []string{"USERNAME_ALIASES"}, Split: ",", Take: 1},
		"aliases":          {From: []string{"USERNAME_ALIASES"}, Split: ",", Skip: 1},
	} {
		if got := p[property]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", property, got, want)
		}
	}
}

func TestEnvironmentAndPaths(t *testing.T) {
	t.Setenv("PEOPLE", "people.csv\n  evil: key")
	t.Setenv("LENGTH", "8")
	c, err := parse("some/rollcall.yaml", []byte(`version: 1
data_dir: data
pins: {minimum_length: "${LENGTH}"}
sources:
  people: {kind: csv, path: "${PEOPLE}", mapping: {notes: {value: "$${PEOPLE}"}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	here, _ := os.Getwd()
	if want := filepath.Join(here, "some", "data"); c.Pipeline.DataDir != want {
		t.Errorf("data_dir %q, want %q", c.Pipeline.DataDir, want)
	}
	if got := *c.Pipeline.Sources[0].Mapping.Properties["notes"].Value; got != "${PEOPLE}" {
		t.Errorf("escaped variable became %q", got)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	write("open", 0o644)
	write("group", 0o640)
	write("mine", 0o600)
	for file, refused := range map[string]bool{"open": true, "group": false, "mine": false, "missing": false} {
		_, err := parse(filepath.Join(dir, "rollcall.yaml"), []byte("version: 1\nmail: {password_file: "+file+"}\n"))
		if got := err != nil && strings.Contains(err.Error(), "chmod o-rwx"); got != refused {
			t.Errorf("%s: refused %v (%v), want %v", file, got, err, refused)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/interface.yaml", "../../../deployments/rollcall.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("a: &a {<<: *a}\nguard: *a\nsources: [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse("rollcall.yaml", text)
		if (c == nil) != (err != nil) {
			t.Errorf("configuration %v and error %v", c, err)
		}
	})
}

// decoded decodes a file that has no mistakes.
func decoded(t *testing.T, name string) (*decoder, *file) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{file: name, dir: "/", places: map[string]token.Position{}, anchors: map[string]ast.Node{}}
	f := defaults()
	d.all(d.document(text), &f)
	if len(d.mistakes) > 0 {
		t.Fatal(sorted(d.mistakes))
	}
	return d, &f
}

// optionsOf returns the paths of all options in a struct.
func optionsOf(path string, v reflect.Value) map[string]bool {
	all := map[string]bool{}
	for name, f := range fieldsOf(v) {
		at := join(path, name)
		all[at] = true
		if f.Kind() == reflect.Struct {
			maps.Copy(all, optionsOf(at, f))
		}
	}
	return all
}

// What README.md shows as a configuration is one.
func TestReadmeLoads(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, part := range strings.Split(string(readme), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if _, err := parse("README.md", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		blocks++
	}
	if blocks == 0 {
		t.Error("README.md shows no configuration")
	}
}

// O4: What is possible and probably not meant is said, and is no mistake.
func TestNotes(t *testing.T) {
	c, err := parse("rollcall.yaml", []byte(`version: 1
mail: {server: smtp.example, from: rollcall@example.com}
sources:
  a: {kind: csv, path: a.csv, options: {ignore_synchronization_source: true, deactivate_missing_users: true}}
  b: {kind: csv, path: b.csv, mapping: {department: none}, export: {enabled: true, path: out.csv}}
  c: {kind: csv, path: c.csv, enabled: false, export: {enabled: true, path: out.csv}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(c.Notes, "\n")
	for _, want := range []string{"the sources a and b may both set ", "a: ignore_synchronization_source and deactivate_missing_users are both on"} {
		if !strings.Contains(got, want) {
			t.Errorf("no note %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "department") || strings.Contains(got, "sources.c") || len(c.Notes) != 2 {
		t.Errorf("too much:\n%s", got)
	}
}
