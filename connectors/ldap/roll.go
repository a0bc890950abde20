package ldap

import (
	"maps"
	"slices"

	"rollcall/connectors"
)

// roll is who was there at the last look of a session whose looks tell who is there and not who is gone. A session may say so once; from then on
// the roll finds out who is gone. It costs the keys' memory.
type roll struct {
	last, now map[string]connectors.Kind
	// strangers were said to be there and are not told of yet.
	strangers map[string]struct{}
}

// begin begins another look.
func (r *roll) begin() { r.now, r.strangers = map[string]connectors.Kind{}, map[string]struct{}{} }

// note notes what is told and reports whether that is news.
func (r *roll) note(told *connectors.Record) (news bool) {
	switch {
	case told.Deleted:
		delete(r.now, told.Key)
	case !told.IsSighting():
		r.now[told.Key] = told.Kind
	default:
		if _, told := r.now[told.Key]; told {
			return false
		}
		if r.now[told.Key] = told.Kind; r.last != nil {
			if _, known := r.last[told.Key]; !known {
				r.strangers[told.Key] = struct{}{}
			}
		}
		return false
	}
	delete(r.strangers, told.Key)
	return true
}

// call tells who is gone since the last look. The absent are looked up once more: somebody may have moved during the look.
func (r *roll) call(p *pass, emit func(connectors.Record) error) (gone int, err error) {
	absent := slices.Sorted(maps.Keys(r.last))
	absent = slices.DeleteFunc(absent, func(key string) bool { _, there := r.now[key]; return there })
	there, err := p.lookUpEverywhere(slices.Concat(absent, slices.Collect(maps.Keys(r.strangers))))
	if err != nil {
		return 0, err
	}
	for key := range r.strangers {
		if there[key] {
			return 0, errExpired("%s is there, and nothing tells that it changed", key)
		}
		delete(r.now, key)
	}
	for _, key := range absent {
		if there[key] {
			r.now[key] = r.last[key]
			continue
		}
		if err := emit(connectors.Record{Key: key, Kind: r.last[key], Deleted: true}); err != nil {
			return 0, err
		}
		gone++
	}
	return gone, nil
}

// end makes the look the last one.
func (r *roll) end() { r.last = r.now }
