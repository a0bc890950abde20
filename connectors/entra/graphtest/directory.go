package graphtest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Properties are an object's properties by name. A value is what encoding/json can write; nil is an explicit
// null, and a property that was never given does not appear in any answer.
type Properties map[string]any

// Directory is the tenant's users and groups. Its methods are safe for use beside a running server.
type Directory struct {
	mu       sync.RWMutex
	sequence uint64
	objects  map[string]*object
	sets     map[string]*set
	now      func() time.Time
}

// Sets of objects.
const (
	users  = "users"
	groups = "groups"
)

// set is all objects of one kind, living or not, and what happened to them.
type set struct {
	objects []*object
	changes []change
}

// change says that a property of an object changed; the property "" is its life, "members" and "manager" its links.
type change struct {
	sequence uint64
	object   *object
	property string
}

type object struct {
	id       string
	kind     string // users or groups
	born     uint64 // the sequence of its creation
	state    state
	values   Properties
	links    map[string]*links
	rendered map[string][]byte // by select list, dropped at every change
}

type state int

const (
	living state = iota
	deleted
	purged
)

// links are an object's members or its manager, with the sequence of each link's last change.
type links struct {
	order []*link
	byID  map[string]*link
}

type link struct {
	id       string
	sequence uint64
	removed  bool
}

func newDirectory(now func() time.Time) *Directory {
	return &Directory{
		now: now, objects: map[string]*object{},
		sets: map[string]*set{users: {}, groups: {}},
	}
}

// AddUser creates a user and returns its id. Properties["id"] may give the id.
func (d *Directory) AddUser(p Properties) string { return d.add(users, p) }

// AddGroup creates a group and returns its id.
func (d *Directory) AddGroup(p Properties) string { return d.add(groups, p) }

func (d *Directory) add(kind string, p Properties) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	values := maps.Clone(p)
	if values == nil {
		values = Properties{}
	}
	id, _ := values["id"].(string)
	if id == "" {
		id = newID()
	}
	if d.objects[id] != nil {
		panic("graphtest: id " + id + " exists")
	}
	delete(values, "id")
	if _, given := values["createdDateTime"]; !given {
		values["createdDateTime"] = d.now().UTC().Format(time.RFC3339)
	}
	if _, given := values["accountEnabled"]; !given && kind == users {
		values["accountEnabled"] = true
	}
	o := &object{id: id, kind: kind, values: values, links: map[string]*links{}}
	d.objects[id] = o
	d.sets[kind].objects = append(d.sets[kind].objects, o)
	d.note(o, "")
	o.born = d.sequence
	return id
}

// Patch sets properties of a living object; nil clears one.
func (d *Directory) Patch(id string, p Properties) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.living(id)
	for _, name := range slices.Sorted(maps.Keys(p)) {
		o.values[name] = p[name]
		d.note(o, name)
	}
}

// Delete puts an object among the deleted ones, from where it can come back.
func (d *Directory) Delete(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.living(id)
	o.state = deleted
	d.note(o, "")
}

// Restore brings a deleted object back, with its links.
func (d *Directory) Restore(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[id]
	if o == nil || o.state != deleted {
		panic("graphtest: " + id + " is not deleted")
	}
	o.state = living
	d.note(o, "")
	d.relink(o)
}

// Purge deletes an object for good.
func (d *Directory) Purge(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[id]
	if o == nil || o.state == purged {
		panic("graphtest: no object " + id)
	}
	o.state = purged
	d.note(o, "")
}

// AddMember puts a user or group into a group.
func (d *Directory) AddMember(group, member string) { d.link(group, "members", member, false) }

// RemoveMember takes a user or group out of a group.
func (d *Directory) RemoveMember(group, member string) { d.link(group, "members", member, true) }

// SetManager gives a user a manager, "" for none.
func (d *Directory) SetManager(user, manager string) {
	for _, l := range d.liveLinks(user, "manager") {
		d.link(user, "manager", l, true)
	}
	if manager != "" {
		d.link(user, "manager", manager, false)
	}
}

// Members returns the ids of a group's living direct members, sorted.
func (d *Directory) Members(group string) []string {
	return slices.Sorted(slices.Values(d.liveLinks(group, "members")))
}

// Manager returns the id of a user's living manager, "" for none.
func (d *Directory) Manager(user string) string {
	if ids := d.liveLinks(user, "manager"); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// Users returns the ids of the living users, sorted.
func (d *Directory) Users() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []string
	for _, o := range d.sets[users].objects {
		if o.state == living {
			ids = append(ids, o.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Value returns a property of an object, nil when it has none.
func (d *Directory) Value(id, property string) any {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.objects[id].values[property]
}

func (d *Directory) liveLinks(id, name string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []string
	for _, l := range d.living(id).linksOf(name).order {
		if o := d.objects[l.id]; !l.removed && o != nil && o.state == living {
			ids = append(ids, l.id)
		}
	}
	return ids
}

func (d *Directory) link(id, name, target string, removed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.living(id)
	if d.objects[target] == nil {
		panic("graphtest: no object " + target)
	}
	if o.links[name] == nil {
		o.links[name] = &links{byID: map[string]*link{}}
	}
	ls := o.links[name]
	l := ls.byID[target]
	if l == nil {
		l = &link{id: target}
		ls.byID[target] = l
		ls.order = append(ls.order, l)
	}
	l.removed = removed
	d.note(o, name)
	l.sequence = d.sequence
}

// relink reports the links from and to an object that came back.
func (d *Directory) relink(o *object) {
	for _, ls := range o.links {
		for _, l := range ls.order {
			l.sequence = d.sequence
		}
	}
	for _, s := range d.sets {
		for _, owner := range s.objects {
			for name, ls := range owner.links {
				if l := ls.byID[o.id]; l != nil && !l.removed {
					d.note(owner, name)
					l.sequence = d.sequence
				}
			}
		}
	}
}

func (o *object) linksOf(name string) *links {
	if ls := o.links[name]; ls != nil {
		return ls
	}
	return &links{}
}

func (d *Directory) living(id string) *object {
	o := d.objects[id]
	if o == nil || o.state != living {
		panic("graphtest: no living object " + id)
	}
	return o
}

func (d *Directory) note(o *object, property string) {
	d.sequence++
	o.rendered = nil
	s := d.sets[o.kind]
	s.changes = append(s.changes, change{d.sequence, o, property})
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
