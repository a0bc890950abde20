package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaFile = "../../../deployments/rollcall.schema.json"

// The published schema allows the configurations that Rollcall shows, and refuses a key that nobody knows, wherever it stands.
func TestSchemaAllowsWhatIsShown(t *testing.T) {
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for i, part := range strings.Split(string(readme), "```yaml\n")[1:] {
		shown[fmt.Sprint("README.md ", i)], _, _ = strings.Cut(part, "```")
	}
	for _, name := range []string{"../../../deployments/rollcall.yaml", "../../../deployments/docker/rollcall.yaml", "testdata/interface.yaml", "../demo/rollcall.yaml", "../templates/csv.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shown[name] = string(text)
	}
	for name, text := range shown {
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, unknown := range []string{"{version: 1, data-dir: x}", "{version: 1, pins: {temporary: {valid: 1h}}}", "{version: 1, sources: {a: {kind: csv, path: x, servers: [y]}}}",
		"{version: 1, sources: {a: {kind: csv, path: x, mapping: {colour: y}}}}", "{version: 1, sources: {a: {kind: fax}}}", "{version: 1, log: {level: loud}}"} {
		if err := s.Validate(asJSON(t, unknown)); err == nil {
			t.Errorf("%s is allowed", unknown)
		}
	}
}

func asJSON(t *testing.T, text string) any {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every key that the decoder knows is in the schema with its type, and no other; what the schema lists as possible is.
func TestSchemaIsWhatTheDecoderKnows(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	w := &schemaWalk{T: t}
	if err := json.Unmarshal(text, &w.top); err != nil {
		t.Fatal(err)
	}
	f := defaults()
	w.object("", w.top, reflect.ValueOf(&f).Elem())
	for kind, open := range kinds {
		w.prefix = map[string]any{"kind": kind}
		w.object("sources."+kind, w.definition(kind), reflect.ValueOf(&source{}).Elem(), reflect.ValueOf(open()).Elem())
	}
	w.prefix = nil
	w.object("mapping.phone", w.definition("parts"), reflect.ValueOf(&parts{}).Elem())
	w.object("groups.rules", w.definition("group_rule"), reflect.ValueOf(&groupRule{}).Elem())
	if got, want := slices.Sorted(maps.Keys(w.properties(w.definition("mapping")))), slices.Sorted(slices.Values(propertyNames())); !slices.Equal(got, want) {
		t.Errorf("mapping: the schema has %q, properties are %q", got, want)
	}
	if w.enums < 15 {
		t.Errorf("%d lists of words were tried", w.enums)
	}
}

// schemaWalk compares the schema with what the decoder fills.
type schemaWalk struct {
	*testing.T
	top    map[string]any
	prefix map[string]any // the source that a path stands in
	enums  int
}

func (w *schemaWalk) definition(name string) map[string]any {
	return w.top["$defs"].(map[string]any)[name].(map[string]any)
}

// resolve follows a reference.
func (w *schemaWalk) resolve(s map[string]any) (resolved map[string]any, name string) {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s, ""
	}
	name = strings.TrimPrefix(ref, "#/$defs/")
	return w.definition(name), name
}

func (w *schemaWalk) properties(s map[string]any) map[string]any {
	p, _ := s["properties"].(map[string]any)
	return p
}

// object compares the keys of a mapping with the fields of the structs that it fills.
func (w *schemaWalk) object(path string, s map[string]any, targets ...reflect.Value) {
	fields := map[string][]reflect.Value{}
	for _, v := range targets {
		for name, f := range fieldsOf(v) {
			fields[name] = append(fields[name], f)
		}
	}
	properties := w.properties(s)
	if got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		w.Errorf("%s: the schema has %q, the decoder knows %q", path, got, want)
		return
	}
	if s["additionalProperties"] != false {
		w.Errorf("%s: the schema allows other keys", path)
	}
	for name, into := range fields {
		w.value(join(path, name), properties[name].(map[string]any), into)
	}
}

func (w *schemaWalk) value(path string, s map[string]any, into []reflect.Value) {
	resolved, name := w.resolve(s)
	t := into[0].Type()
	want := ""
	switch {
	case t == duration:
		want = "duration"
	case t == reflect.TypeFor[size]():
		want = "size"
	case t == reflect.TypeFor[[]string]():
		want = "list"
	case t == reflect.TypeFor[words]():
		want = "words"
	case t == reflect.TypeFor[rules](), t == reflect.TypeFor[groups](), t == reflect.TypeFor[[]groupRule](), t == reflect.TypeFor[sources]():
		w.known(path, resolved)
		return
	case t.Kind() == reflect.Struct:
		w.object(path, resolved, into...)
		return
	case t.Kind() == reflect.Map:
		w.object(path, resolved["additionalProperties"].(map[string]any), reflect.New(t.Elem()).Elem())
		return
	case t.Kind() == reflect.Bool, t == reflect.TypeFor[*bool]():
		want = "boolean"
	case t.Kind() == reflect.Int && resolved["const"] == nil:
		want = "integer"
	case resolved["anyOf"] != nil && name == "":
		w.words(path, resolved)
		return
	case t.Kind() == reflect.String && resolved["const"] == nil, t == reflect.TypeFor[*string]():
		want = "text"
	}
	if name != want {
		w.Errorf("%s: the schema has %q, want %q", path, name, want)
	}
}

// known looks that what is compared elsewhere is there at all.
func (w *schemaWalk) known(path string, s map[string]any) {
	if s["properties"] == nil && s["items"] == nil && s["additionalProperties"] == nil {
		w.Errorf("%s: the schema says nothing about it", path)
	}
	if path == "groups" || strings.HasSuffix(path, ".groups") {
		w.object(path, s, reflect.ValueOf(&groups{}).Elem())
	}
}

// words tries each word of a list, and one that is not in it.
func (w *schemaWalk) words(path string, s map[string]any) {
	if strings.HasPrefix(path, "mapping.") || strings.HasPrefix(path, "groups.rules") || strings.HasPrefix(path, "authentication_servers.") {
		return // what is possible hangs on what stands beside it
	}
	w.enums++
	if !w.refused(path, "nobody-knows-this") {
		w.Errorf("%s: the schema has a list of words, and the decoder takes any", path)
	}
	for _, word := range s["anyOf"].([]any)[0].(map[string]any)["enum"].([]any) {
		if word != nil && w.refused(path, word) {
			w.Errorf("%s: %q is in the schema, and the decoder refuses it", path, word)
		}
	}
}

// refused reports whether a configuration that says little else has a mistake about the value.
func (w *schemaWalk) refused(path string, value any) bool {
	steps, quoted := strings.Split(path, "."), fmt.Sprintf("%q", value)
	for _, step := range slices.Backward(steps) {
		value = map[string]any{step: value}
	}
	doc := value.(map[string]any)
	doc["version"] = 1
	if w.prefix != nil {
		maps.Copy(doc["sources"].(map[string]any)[steps[1]].(map[string]any), w.prefix)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		w.Fatal(err)
	}
	_, err = parse("rollcall.yaml", text)
	var found Mistakes
	errors.As(err, &found)
	return slices.ContainsFunc(found, func(m Mistake) bool { return strings.Contains(m.Text, quoted) })
}
