package mapping

import (
	"errors"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"rollcall/connectors"
	"rollcall/store"
)

type Mapping struct{ c Config }

func Compile(c Config) (*Mapping, error) { return &Mapping{c}, nil }
func (m *Mapping) Attributes() []string {
	var a []string
	for _, r := range m.c.Properties {
		a = append(a, r.From...)
	}
	slices.Sort(a)
	return slices.Compact(a)
}
func (m *Mapping) Secrets() []string { return m.c.Properties["pins"].From }
func (m *Mapping) Apply(rec *connectors.Record) (Change, error) {
	c := Change{Key: rec.Key, Entry: rec.Name, Kind: rec.Kind, Disabled: rec.Disabled}
	for name, r := range m.c.Properties {
		p, _ := store.ParseProperty(name)
		for _, a := range rec.Attributes {
			if !slices.ContainsFunc(r.From, func(s string) bool { return strings.EqualFold(s, a.Name) }) {
				continue
			}
			c.Set = c.Set.With(p)
			vs := a.Values
			if r.Split != "" && len(vs) > 0 {
				vs = strings.Split(vs[0], r.Split)
			}
			vs = vs[min(len(vs), r.Skip):]
			if p.Multi() {
				vs = slices.Clone(vs)
				slices.Sort(vs)
				c.List[p.List()] = vs
			} else if len(vs) > 0 {
				c.Text[p] = vs[0]
			}
		}
	}
	if n := c.Text[store.UserName]; n == "" || len(n) > 255 {
		return c, errors.New("user name has not 1 to 255 characters")
	}
	return c, nil
}
func MaskSecret(string) string               { return "****" }
func EncodeChange(c *Change) ([]byte, error) { return cbor.Marshal(c) }
func DecodeChange(d []byte, c *Change) error { *c = Change{}; return cbor.Unmarshal(d, c) }
