package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"rollcall/pipeline/policy"
)

// decoder fills Go values from a YAML document and notes every mistake with its place.
type decoder struct {
	file string // as the operator named it, for messages
	dir  string // what relative paths start from, absolute
	// places holds where every key and element stands, by its path ("sources.people.schedule").
	places   map[string]token.Position
	anchors  map[string]ast.Node
	aliases  int // followed so far
	mistakes []Mistake
	// wrong are the paths of the values that something was noted about. The first so many of them, decoded, have not the form that they
	// should have; those whose content cannot be follow.
	wrong   []string
	decoded int
	guard   policy.Guard // what every source starts from
}

// yamlDecoder is a value with a YAML form of its own.
type yamlDecoder interface {
	decodeYAML(d *decoder, path string, n ast.Node)
}

// document returns the top of the only document in text, nil when there is none.
func (d *decoder) document(text []byte) (n ast.Node) {
	defer func() { // the parser indexes beyond its input on some broken documents
		if r := recover(); r != nil {
			d.note(token.Position{Line: 1, Column: 1}, "this is no YAML document", "other quotes or indentation")
			n = nil
		}
	}()
	parsed, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	switch {
	case err != nil:
		d.syntax(err)
		return nil
	case len(parsed.Docs) > 1 && parsed.Docs[1].Body != nil:
		d.note(place(parsed.Docs[1].Body), "a second document begins", "keep one document, without a line \"---\" inside")
		return nil
	case len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil:
		d.note(token.Position{Line: 1, Column: 1}, "the file is empty", "rollcall init")
		return nil
	}
	ast.Walk(d, parsed.Docs[0].Body)
	return parsed.Docs[0].Body
}

// Visit remembers the anchors of the document for the aliases that follow.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

// value decodes n into v, the settable value at path.
func (d *decoder) value(path string, n ast.Node, v reflect.Value) {
	n = d.resolve(path, n)
	if _, null := n.(*ast.NullNode); n == nil || null {
		return // "key:" without a value leaves the default
	}
	if own, ok := v.Addr().Interface().(yamlDecoder); ok {
		own.decodeYAML(d, path, n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case reflect.Struct:
		d.structs(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// structs decodes the mapping n into several structs at once: a key goes to every one that has it.
func (d *decoder) structs(path string, n ast.Node, targets ...reflect.Value) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	var known []string
	fields := map[string][]reflect.Value{}
	for _, v := range targets {
		for name, f := range fieldsOf(v) {
			if len(fields[name]) == 0 {
				known = append(known, name)
			}
			fields[name] = append(fields[name], f)
		}
	}
	d.keys(path, n, func(key, at string, value ast.Node) {
		into, ok := fields[key]
		if !ok {
			slices.Sort(known)
			d.note(d.places[at], fmt.Sprintf("unknown key %q", at), nearest(key, known))
			return
		}
		if len(into) > 1 && into[0].Kind() == reflect.Struct {
			d.structs(at, d.resolve(at, value), into...)
			return
		}
		for _, f := range into {
			d.value(at, value, f)
		}
	})
}

func (d *decoder) mapping(path string, n ast.Node, v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.keys(path, n, func(key, at string, value ast.Node) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(at, value, elem)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), elem)
	})
}

func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.broken(path, place(n), path+" is not a list", "[first, second]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, e := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = place(e)
		d.value(at, e, v.Index(i))
	}
}

// keys calls fn for every key of the mapping n, in the order of the document, and notes keys that come twice.
func (d *decoder) keys(path string, n ast.Node, fn func(key, at string, value ast.Node)) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case nil:
		return // an alias of nothing, noted already
	default:
		d.broken(path, place(n), orDocument(path)+" is not a list of keys and values", "key: value")
		return
	}
	for _, pair := range pairs { // what "<<: *defaults" brings comes first, so that the keys beside it win
		if pair.Key.IsMergeKey() {
			d.keys(path, d.resolve(path, pair.Value), fn)
		}
	}
	first := map[string]token.Position{}
	for _, pair := range pairs {
		if pair.Key.IsMergeKey() {
			continue
		}
		key, pos := pair.Key.GetToken().Value, place(pair.Key)
		at := join(path, key)
		if before, twice := first[key]; twice {
			d.note(pos, fmt.Sprintf("%s is here a second time, first in line %d", at, before.Line), "another name")
			continue
		}
		first[key], d.places[at] = pos, pos
		fn(key, at, pair.Value)
	}
}

// peek calls fn with one key's value, and notes nothing.
func (d *decoder) peek(path string, n ast.Node, key string, fn func(at string, value ast.Node)) {
	quiet := &decoder{places: map[string]token.Position{}, anchors: d.anchors}
	quiet.keys(path, n, func(k, at string, value ast.Node) {
		if k == key {
			d.places[at] = quiet.places[at]
			fn(at, value)
		}
	})
}

var duration = reflect.TypeFor[time.Duration]()

func (d *decoder) scalar(path string, n ast.Node, v reflect.Value) {
	text, loose, ok := d.text(path, n)
	if !ok {
		return
	}
	switch {
	case v.Type() == duration:
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed < 0 {
			d.broken(path, place(n), fmt.Sprintf("%s: %q is not a duration", path, text), "15m, 24h or 2160h")
			return
		}
		v.SetInt(int64(parsed))
	case v.Kind() == reflect.String:
		v.SetString(d.path(path, text))
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if _, isBool := n.(*ast.BoolNode); err != nil || !isBool && !loose {
			d.broken(path, place(n), fmt.Sprintf("%s: %q is not a yes or no", path, text), "true or false")
			return
		}
		v.SetBool(b)
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, 32)
		if _, isInt := n.(*ast.IntegerNode); err != nil || i < 0 || !isInt && !loose {
			d.broken(path, place(n), fmt.Sprintf("%s: %q is not a whole number", path, text), "0 or a number above it")
			return
		}
		v.SetInt(i)
	default:
		panic("config: no YAML form for " + v.Type().String())
	}
}

// text returns a scalar as it is written, with ${ENV} replaced; loose is true when there was
// something to replace, and the text may then stand for a number or a bool.
func (d *decoder) text(path string, n ast.Node) (text string, loose, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	default:
		d.broken(path, place(n), path+" is not a single value", "key: value")
		return "", false, false
	}
	expanded := d.expand(path, text, place(n))
	return expanded, expanded != text, true
}

var variable = regexp.MustCompile(`\$?\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// expand replaces ${NAME} by the environment's value; $${NAME} stands for the text "${NAME}".
func (d *decoder) expand(path, text string, pos token.Position) string {
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := m[2 : len(m)-1]
		value, set := os.LookupEnv(name)
		if !set {
			d.broken(path, pos, fmt.Sprintf("the environment variable %s is not set", name), "export "+name+"=…, or $${"+name+"} for this very text")
		}
		return value
	})
}

// path makes values of the keys that name files absolute, starting from the configuration's folder.
func (d *decoder) path(at, text string) string {
	key, _, _ := strings.Cut(at[strings.LastIndexByte(at, '.')+1:], "[")
	isFile := slices.Contains([]string{"path", "paths", "data_dir", "workload_identity"}, key) || strings.HasSuffix(key, "_file")
	if !isFile || text == "" {
		return text
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(d.dir, text)
	}
	if strings.HasSuffix(key, "_file") && key != "ca_file" && key != "cert_file" {
		d.secret(at, text)
	}
	return text
}

// secret refuses a file that everybody on the machine may read.
func (d *decoder) secret(at, file string) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o007 == 0 || os.PathSeparator == '\\' {
		return // a missing file is the reader's complaint, who needs it
	}
	d.broken(at, d.places[at], fmt.Sprintf("%s: everybody may read the secret in %s (mode %04o)", at, file, info.Mode().Perm()), "chmod o-rwx "+file)
}

// resolve follows anchors, aliases and tags to the node they stand for.
func (d *decoder) resolve(path string, n ast.Node) ast.Node {
	for {
		switch node := n.(type) {
		case *ast.AnchorNode:
			n = node.Value
		case *ast.TagNode:
			n = node.Value
		case *ast.AliasNode:
			n = d.alias(path, node)
		default:
			return n
		}
	}
}

// maxAliases keeps an alias that contains itself from being followed for ever.
const maxAliases = 1000

func (d *decoder) alias(path string, n *ast.AliasNode) ast.Node {
	name := n.Value.GetToken().Value
	value, ok := d.anchors[name]
	d.aliases++
	if !ok || d.aliases > maxAliases {
		d.broken(path, place(n), fmt.Sprintf("*%s stands for nothing", name), fmt.Sprintf("&%s before it", name))
		return nil
	}
	return value
}

// note keeps a mistake.
func (d *decoder) note(pos token.Position, text, try string) {
	d.mistakes = append(d.mistakes, Mistake{File: d.file, Line: pos.Line, Column: pos.Column, Text: text, Try: try})
}

// broken keeps a mistake in the form of the value at path: what was read from it says nothing then.
func (d *decoder) broken(path string, pos token.Position, text, try string) {
	d.wrong = append(d.wrong, path)
	d.note(pos, text, try)
}

// at notes a mistake about the value at path, or, when the document does not mention it, about what it
// would stand in.
func (d *decoder) at(path, text, try string) {
	if concerns(d.wrong[:d.decoded], path) {
		return
	}
	d.wrong = append(d.wrong, path)
	pos := token.Position{Line: 1, Column: 1}
	for p := path; p != ""; p = parent(p) {
		if mentioned, ok := d.places[p]; ok {
			pos = mentioned
			break
		}
	}
	d.note(pos, text, try)
}

// concerns reports whether one of the paths is the given one, leads to it or begins there.
func concerns(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return within(p, path) || within(path, p) })
}

// within reports whether the value at path is that at outer or stands in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// oneOf notes a value that is none of those allowed.
func (d *decoder) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		d.at(path, fmt.Sprintf("%s: %q is not possible", path, value), strings.Join(allowed, ", "))
	}
}

func (d *decoder) syntax(err error) {
	type positioned interface {
		GetMessage() string
		GetToken() *token.Token
	}
	p, ok := err.(positioned)
	if !ok || p.GetToken() == nil {
		d.note(token.Position{Line: 1, Column: 1}, err.Error(), "other quotes or indentation")
		return
	}
	d.note(*p.GetToken().Position, p.GetMessage(), "other quotes or indentation, in this line or the one before")
}

// fieldsOf returns a struct's fields by their YAML names.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case options == "inline":
			for n, inner := range fieldsOf(v.Field(i)) {
				fields[n] = inner
			}
		case name != "":
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func place(n ast.Node) token.Position {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return token.Position{Line: 1, Column: 1}
	}
	if pair, ok := n.(*ast.MappingValueNode); ok {
		return place(pair.Key)
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return place(m.Values[0].Key)
	}
	return *n.GetToken().Position
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

func orDocument(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

// nearest returns the known word that most likely was meant, or all of them.
func nearest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if strings.HasPrefix(k, word) || strings.HasPrefix(word, k) {
			return k
		}
		if n := edits(word, k); n < distance {
			best, distance = k, n
		}
	}
	if best == "" {
		return strings.Join(known, ", ")
	}
	return best
}

// edits counts the letters to insert, remove or replace between a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
