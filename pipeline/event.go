package pipeline

import (
	"strconv"
	"time"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// cause says in an event where a change came from.
type cause struct {
	Source string
	Run    uint64
	Key    string
	Actor  string
	Reason string
}

// appendUserEvent appends the body of a user's event, without the chain that the relay adds. Its bytes are a function of
// the verdict and the log's time.
func appendUserEvent(b []byte, revision uint64, at time.Time, v *policy.Verdict, c cause, cards store.CardMode) []byte {
	b = append(b, `{"revision":`...)
	b = strconv.AppendUint(b, revision, 10)
	b = append(b, `,"time":"`...)
	b = at.AppendFormat(b, timestamp)
	b = append(b, `","kind":`...)
	b = store.AppendString(b, v.Event)
	b = append(b, `,"cause":`...)
	b = c.append(b)
	b = append(b, `,"changed":{`...)
	for i, changed := range v.Changed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendChanged(b, changed, cards)
	}
	b = append(b, `},"user":`...)
	b = v.User.AppendJSON(b, cards)
	return append(b, '}')
}

func (c cause) append(b []byte) []byte {
	b = append(b, '{')
	text := func(name, value string) {
		if value == "" {
			return
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), `":`...)
		b = store.AppendString(b, value)
	}
	text("source", c.Source)
	if c.Run != 0 {
		b = append(b, `,"run":`...)
		b = strconv.AppendUint(b, c.Run, 10)
	}
	text("key", c.Key)
	text("actor", c.Actor)
	text("reason", c.Reason)
	return append(b, '}')
}

// appendChanged writes one property before and after. Cards are shown as events show them, PINs never.
func appendChanged(b []byte, c policy.Changed, cards store.CardMode) []byte {
	b = store.AppendString(b, c.Property)
	b = append(b, `:{"old":`...)
	b = appendValue(b, c.Property, c.Old, c.OldList, cards)
	b = append(b, `,"new":`...)
	b = appendValue(b, c.Property, c.New, c.NewList, cards)
	return append(b, '}')
}

func appendValue(b []byte, property, text string, list []string, cards store.CardMode) []byte {
	p, known := store.ParseProperty(property)
	if !known || !p.Multi() {
		return store.AppendString(b, text)
	}
	b = append(b, '[')
	for i, value := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = store.AppendString(b, shown(p, value, cards))
	}
	return append(b, ']')
}

// shown is a value of a list as events show it.
func shown(p store.Property, value string, cards store.CardMode) string {
	switch p {
	case store.PINs:
		return "hidden"
	case store.Cards:
		return cards.Show(value)
	default:
		return value
	}
}
