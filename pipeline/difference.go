package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"rollcall/store"
)

// Difference is something that two stores do not agree on.
type Difference struct {
	// Kind is "user", "group", "entry", "run", "source" or "state".
	Kind string `json:"kind"`
	// ID is the user's or group's id, "source/key" of an entry, "source/number" of a run, the name of a source.
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Property is what differs, "" when one store has nothing of that kind and id at all.
	Property string `json:"property,omitempty"`
	Live     string `json:"live"`
	Rebuilt  string `json:"rebuilt"`
}

// facts are what a store says of one thing, by property.
type facts struct {
	id, name string
	values   map[string]string
}

// differences calls fn for whatever is not the same in both stores.
func differences(live, rebuilt *store.DB, fn func(Difference) error) error {
	return live.View(func(a *store.Tx) error {
		return rebuilt.View(func(b *store.Tx) error {
			for _, kind := range []struct {
				name   string
				gather func(*store.Tx) ([]facts, error)
			}{{"user", userFacts}, {"group", groupFacts}, {"entry", entryFacts}, {"run", runFacts}, {"source", sourceFacts}, {"state", stateFacts}} {
				x, err := kind.gather(a)
				if err != nil {
					return err
				}
				y, err := kind.gather(b)
				if err != nil {
					return err
				}
				if err := compareFacts(kind.name, x, y, fn); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// compareFacts walks through both in the order of ids.
func compareFacts(kind string, live, rebuilt []facts, fn func(Difference) error) error {
	byID := func(a, b facts) int { return cmp.Compare(a.id, b.id) }
	slices.SortFunc(live, byID)
	slices.SortFunc(rebuilt, byID)
	for len(live)+len(rebuilt) > 0 {
		order := 1
		switch {
		case len(rebuilt) == 0:
			order = -1
		case len(live) > 0:
			order = cmp.Compare(live[0].id, rebuilt[0].id)
		}
		var err error
		switch {
		case order < 0:
			err = fn(Difference{Kind: kind, ID: live[0].id, Name: live[0].name, Live: "there", Rebuilt: "missing"})
		case order > 0:
			err = fn(Difference{Kind: kind, ID: rebuilt[0].id, Name: rebuilt[0].name, Live: "missing", Rebuilt: "there"})
		default:
			err = compareValues(kind, live[0], rebuilt[0], fn)
		}
		if err != nil {
			return err
		}
		if order <= 0 {
			live = live[1:]
		}
		if order >= 0 {
			rebuilt = rebuilt[1:]
		}
	}
	return nil
}

func compareValues(kind string, live, rebuilt facts, fn func(Difference) error) error {
	names := slices.Concat(slices.Collect(maps.Keys(live.values)), slices.Collect(maps.Keys(rebuilt.values)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		a, b := live.values[name], rebuilt.values[name]
		if a == b {
			continue
		}
		if name == store.PINs.String() {
			a, b = "not shown", "not shown"
		}
		if err := fn(Difference{Kind: kind, ID: live.id, Name: live.name, Property: name, Live: a, Rebuilt: b}); err != nil {
			return err
		}
	}
	return nil
}

func userFacts(tx *store.Tx) (all []facts, err error) {
	err = tx.Users("", func(u *store.User) error {
		f := facts{id: u.ID, name: u.Text[store.UserName], values: fields(*u, "Text", "List")}
		for _, p := range store.Properties() {
			if p.Multi() {
				f.values[p.String()] = fmt.Sprint(u.List[p.List()])
			} else {
				f.values[p.String()] = u.Text[p]
			}
		}
		all = append(all, f)
		return nil
	})
	return all, err
}

func groupFacts(tx *store.Tx) (all []facts, err error) {
	err = tx.Groups("", func(g *store.Group) error {
		all = append(all, facts{id: g.ID, name: g.Path, values: fields(*g)})
		return nil
	})
	return all, err
}

func entryFacts(tx *store.Tx) (all []facts, err error) {
	for _, source := range tx.SourceNames() {
		err = tx.Origins(source, store.Key{}, func(key store.Key, o *store.Origin) error {
			all = append(all, facts{id: source + "/" + key.String(), name: o.Entry, values: fields(*o)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func runFacts(tx *store.Tx) (all []facts, err error) {
	err = tx.Runs("", 0, func(r *store.Run) error {
		all = append(all, facts{id: fmt.Sprintf("%s/%d", r.Source, r.Number), values: fields(*r)})
		return nil
	})
	return all, err
}

func sourceFacts(tx *store.Tx) (all []facts, err error) {
	for _, name := range tx.SourceNames() {
		s, err := tx.Source(name)
		if err != nil {
			return nil, err
		}
		all = append(all, facts{id: name, values: fields(*s)})
	}
	return all, nil
}

func stateFacts(tx *store.Tx) ([]facts, error) {
	number, chain := tx.Head()
	return []facts{{id: "head", values: map[string]string{"revision": fmt.Sprint(number), "chain": chain}}}, nil
}

// fields returns a struct's fields as text.
func fields(v any, except ...string) map[string]string {
	values := map[string]string{}
	of := reflect.ValueOf(v)
	for i := range of.NumField() {
		field := of.Type().Field(i)
		if !field.IsExported() || slices.Contains(except, field.Name) {
			continue
		}
		values[strings.ToLower(field.Name)] = fmt.Sprint(of.Field(i).Interface())
	}
	return values
}
