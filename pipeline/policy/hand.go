package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// Hand decides what a person does to one user. Like a fold it reads the store through a [View], and writes nothing.
type Hand struct {
	View View
	// Time is that of the command in the log, never a clock's.
	Time time.Time
	// Administrators counts all active administrators.
	Administrators int
}

// Deed is what comes of a person's command: a verdict about the user (its Action is Conflict or Reject and its Reason
// says why when the command is refused, Unchanged when there is nothing to do), and the entries that the next run of
// their sources decides again, because they say otherwise.
type Deed struct {
	Verdict
	// Try says what to do about a refusal, "" for nothing.
	Try string
	// Entries are origins to be written.
	Entries []SourceOrigin
}

// SourceOrigin is an origin with the source that it belongs to.
type SourceOrigin struct {
	Source string
	Origin *store.Origin
}

// Refused reports whether nothing comes of the command.
func (d *Deed) Refused() bool { return d.Action == Conflict || d.Action == Reject }

// Manual and SelfRegistered are origins of values that no source put there (U20), and Manual is the reason for being
// inactive that a person gives (U18).
const (
	Manual         = "manual"
	SelfRegistered = "self-registered"
)

// Assignment is a new value for a property: a text, or the whole list of a multi-valued one.
type Assignment struct {
	// Property is a property's name, or "administrator" with the text "true" or "false" (U19).
	Property string   `json:"property"`
	Text     string   `json:"text,omitempty"`
	List     []string `json:"list,omitempty"`
}

// Administrator is the name of what makes a user one (U19). It is no property: no source can map it.
const Administrator = "administrator"

// Set gives a user's properties new values. A property that a source says something about is overridden until the next
// run of the user's owner (U15). Of a list, values that were there keep their origins, new ones are manual (U20).
func (h Hand) Set(id string, wanted []Assignment) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		for _, a := range wanted {
			e.assign(a)
		}
	})
}

// Deactivate makes a user inactive for good: no synchronization undoes what a person decided (U18).
func (h Hand) Deactivate(id string) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		e.new.Active, e.new.InactiveReason = false, Manual
	})
}

// Reactivate makes an inactive user active. Cards, PINs and aliases that others have meanwhile are left out (M2).
func (h Hand) Reactivate(id string) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		e.new.Active, e.new.InactiveReason = true, ""
		e.spare = true
	})
}

// Card is a card that a user gets.
type Card struct {
	Number string `json:"number"`
	// Origin is [Manual] or [SelfRegistered].
	Origin string `json:"origin"`
	// Expires is when a temporary card ends, zero for none (K6).
	Expires time.Time `json:"expires,omitzero"`
	// Alone is true where a user has but one card: it takes the place of all others (K6).
	Alone bool `json:"alone,omitempty"`
}

// AddCard gives a user a card. One that another user has is refused (C2); who that is, is told to nobody who
// registers a card himself.
func (h Hand) AddCard(id string, card Card) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		e.discreet = card.Origin == SelfRegistered
		if card.Alone { // what is replaced does not come back until a source says something new
			e.lasting = e.lasting.With(store.Cards)
		}
		list := &e.new.List[store.Cards.List()]
		at := slices.IndexFunc(*list, func(v store.Value) bool { return v.V == card.Number })
		value := store.Value{V: card.Number}
		if at >= 0 {
			value = (*list)[at]
		}
		value = held(value, card.Origin, card.Expires)
		kept := slices.DeleteFunc(slices.Clone(*list), func(v store.Value) bool { return card.Alone || v.V == card.Number })
		*list = append(kept, value)
		sortValues(*list)
	})
}

// RemoveCard takes a card from a user, whoever put it there. One that a source says the user has comes back with
// the source's next run (U15).
func (h Hand) RemoveCard(id, number string) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		list := &e.new.List[store.Cards.List()]
		kept := slices.DeleteFunc(slices.Clone(*list), func(v store.Value) bool { return v.V == number })
		if len(kept) == len(*list) {
			e.refuse(Reject, fmt.Sprintf("%s has no card %q [U5]", nameOf(e.old), number), "rollcall users show "+nameOf(e.old))
		}
		*list = kept
	})
}

// edit is a user while a person's command is being decided.
type edit struct {
	Hand
	old, new *store.User
	deed     *Deed
	// spare leaves out what others have instead of refusing, discreet does not say who has it.
	spare, discreet bool
	// failed is why the store could not be read.
	failed error
	// lasting are properties whose change by hand is not undone by the next run.
	lasting store.PropertySet
}

func (e *edit) refuse(a Action, reason, try string) {
	if !e.deed.Refused() {
		e.deed.Action, e.deed.Reason, e.deed.Try = a, reason, try
	}
}

// edit lets change write on a copy of the user and settles what follows from it.
func (h Hand) edit(id string, change func(*edit)) (*Deed, error) {
	old, err := h.View.User(id)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return &Deed{Verdict: Verdict{Action: Reject, Reason: fmt.Sprintf("there is no user %q", id)}, Try: "rollcall users list"}, nil
	}
	n := *old
	n.Updated = h.Time
	e := &edit{Hand: h, old: old, new: &n, deed: &Deed{Verdict: Verdict{Action: Unchanged, Name: nameOf(old)}}}
	if old.Anonymized {
		e.refuse(Reject, nameOf(old)+" was made anonymous, for good [U22]", "")
		return e.deed, nil
	}
	if change(e); e.failed != nil {
		return nil, e.failed
	}
	return e.deed, e.settle()
}

// settle checks what the change came to and writes the deed.
func (e *edit) settle() error {
	e.tidy()
	e.check()
	if err := e.claim(); err != nil {
		return err
	}
	if !e.deed.Refused() {
		if err := e.override(); err != nil {
			return err
		}
	}
	if e.deed.Refused() || sameUser(e.old, e.new) {
		e.deed.Entries = nil
		return nil
	}
	if err := e.awaitPIN(e.deed, e.old, e.new); err != nil {
		return err
	}
	v := verdict{}
	v.carry(&unit{old: e.old, new: e.new, held: store.Claims(e.old), wanted: store.Claims(e.new), gain: without(store.Claims(e.new), store.Claims(e.old))})
	d := &e.deed.Verdict
	d.Action, d.User, d.Event, d.Changed, d.Releases, d.Claims, d.Deactivated = actionOfEvent(v.Event), e.new, v.Event, v.Changed, v.Releases, v.Claims, v.Deactivated
	return nil
}

func actionOfEvent(event string) Action {
	if event == "reactivated" {
		return Reactivate
	}
	return Update
}

// tidy keeps what always holds: a display name (U3), no alias that is the own name (U4), empty lists that are nil.
func (e *edit) tidy() {
	n := e.new
	if full := n.Text[store.FullName]; full == "" || full == e.old.Text[store.FullName] && full == nameOf(e.old) {
		n.Text[store.FullName] = nameOf(n)
	}
	own := store.Fold(nameOf(n))
	aliases := &n.List[store.Aliases.List()]
	*aliases = slices.DeleteFunc(slices.Clone(*aliases), func(v store.Value) bool { return store.Fold(v.V) == own })
	for i := range n.List {
		if len(n.List[i]) == 0 {
			n.List[i] = nil
		}
	}
}

// check refuses what a user must not become, whoever wants it.
func (e *edit) check() {
	name, isBuiltIn := nameOf(e.old), strings.HasPrefix(nameOf(e.old), "*")
	if nameOf(e.new) != name {
		if reason := unfitName(nameOf(e.new)); reason != "" {
			e.refuse(Reject, reason, "")
		}
	}
	if isBuiltIn && (nameOf(e.new) != name || !e.new.Active && e.old.Active) {
		e.refuse(Reject, fmt.Sprintf("%s is a built-in user, who keeps the name and stays active [U2]", name), "")
	}
	for _, v := range e.new.List[store.Aliases.List()] {
		if hasValue(e.old.List[store.Aliases.List()], v.V) {
			continue
		}
		if reason := unfitName(v.V); reason != "" {
			e.refuse(Reject, fmt.Sprintf("alias %.80q: %s", v.V, reason), "")
		}
	}
	wasOne, isOne := e.old.Active && e.old.Administrator, e.new.Active && e.new.Administrator
	if wasOne && !isOne && e.Administrators <= 1 {
		e.refuse(Reject, name+" is the last active administrator and stays one [U19]", "make somebody else administrator first: rollcall users set NAME administrator=true")
	}
}

// claim refuses values that another user has (C1, C2, C3), or leaves them out where that is the rule (M2).
func (e *edit) claim() error {
	for _, c := range without(store.Claims(e.new), store.Claims(e.old)) {
		id, err := e.View.Holder(c)
		if err != nil {
			return err
		}
		if id == "" || id == e.new.ID {
			continue
		}
		holder, err := e.View.User(id)
		if err != nil {
			return err
		}
		taken := takenText(c, holder, e.discreet)
		if p, multi := listOf(c.Space); e.spare && multi && c != store.FoldClaim(store.Claim{Space: store.Names, Value: nameOf(e.new)}) {
			e.leaveOut(p, c, taken)
			continue
		}
		e.refuse(Conflict, (&unit{new: e.new}).claimText(c)+" is "+taken, "")
	}
	return nil
}

// takenText says that a value is another user's.
func takenText(c store.Claim, holder *store.User, discreet bool) string {
	rule := map[store.Space]string{store.Names: "C1", store.PersonalNumbers: "C3", store.CardNumbers: "C2", store.PINHashes: "C2"}[c.Space]
	if discreet || holder == nil || c.Space == store.PINHashes {
		return fmt.Sprintf("already in use [%s]", rule)
	}
	return fmt.Sprintf("already used by %s [%s]", nameOf(holder), rule)
}

func (e *edit) leaveOut(p store.Property, c store.Claim, reason string) {
	list := &e.new.List[p.List()]
	*list = slices.DeleteFunc(slices.Clone(*list), func(v store.Value) bool {
		return store.FoldClaim(store.Claim{Space: c.Space, Value: v.V}) == c
	})
	if len(*list) == 0 {
		*list = nil
	}
	w := mapping.Warning{Property: p.String(), Value: shownValue(p, c.Value), Reason: reason + "; left out [M2]"}
	e.deed.Warnings = append(e.deed.Warnings, w)
}

// assign writes one property.
func (e *edit) assign(a Assignment) {
	p, known := store.ParseProperty(a.Property)
	switch {
	case a.Property == Administrator:
		e.new.Administrator = a.Text == "true"
	case !known || p == store.PINs:
		e.refuse(Reject, fmt.Sprintf("%q cannot be set", a.Property), "")
	case p == store.Delegates:
		e.new.List[p.List()] = byHand(e.old.List[p.List()], e.delegates(a.List))
	case p.Multi():
		e.new.List[p.List()] = byHand(e.old.List[p.List()], a.List)
	case p == store.UserName && a.Text == "":
		e.refuse(Reject, "a user has a name [U1]", "")
	default:
		e.new.Text[p] = a.Text
	}
}

// delegates returns what those are called whom a person names, and refuses who is nobody (G6).
func (e *edit) delegates(wanted []string) (called []string) {
	for _, value := range wanted {
		who, err := e.delegate(value)
		if err == nil && who == "" && !hasValue(e.old.List[store.Delegates.List()], value) {
			e.refuse(Reject, fmt.Sprintf("delegate %q is nobody who is known [G6]", mapping.Unescape(value)), "rollcall users find "+mapping.Unescape(value))
		}
		e.failed = cmp.Or(e.failed, err)
		called = append(called, cmp.Or(who, value))
	}
	return called
}

// delegate returns what the user of a name or alias is called, else the group of that path, "" for nobody.
func (e *edit) delegate(value string) (string, error) {
	id, err := e.View.Holder(store.FoldClaim(store.Claim{Space: store.Names, Value: mapping.Unescape(value)}))
	if err != nil {
		return "", err
	}
	if id != "" {
		u, err := e.View.User(id)
		if err != nil || u == nil {
			return "", err
		}
		return calledOf(u), nil
	}
	if e.View.Group == nil {
		return "", nil
	}
	there, err := e.View.Group(value)
	if err != nil || !there {
		return "", err
	}
	return value, nil
}

// byHand returns the list that a person wants: values that were there keep their origins (U20).
func byHand(have []store.Value, want []string) []store.Value {
	list := make([]store.Value, 0, len(want))
	for _, w := range slices.Compact(slices.Sorted(slices.Values(want))) {
		at := slices.IndexFunc(have, func(v store.Value) bool { return v.V == w })
		switch {
		case w == "":
		case at >= 0:
			list = append(list, have[at])
		default:
			list = append(list, store.Value{V: w, Origins: []string{Manual}})
		}
	}
	return list
}
