package graphtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// maxPage is the most objects that a page of a delta round holds.
const maxPage = 200

var (
	defaultUser  = []string{"businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation", "preferredLanguage", "surname", "userPrincipalName"}
	defaultGroup = []string{"description", "displayName", "groupTypes", "mail", "mailEnabled", "mailNickname", "securityEnabled", "visibility", "members"}
)

// delta answers GET /{kind}/delta.
func (s *Server) delta(w http.ResponseWriter, r *http.Request, kind string) {
	p, fail := s.place(r, kind)
	if fail != nil {
		fail.write(w)
		return
	}
	page, next, more := s.page(p, s.options.AtLeast || strings.Contains(r.Header.Get("Prefer"), "return=minimal"))
	name, param := "@odata.deltaLink", "$deltatoken"
	if more {
		name, param = "@odata.nextLink", "$skiptoken"
	}
	link := s.URL + "/v1.0/" + kind + "/delta?" + param + "=" + s.sealer.seal(next)
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"@odata.context":"%s/v1.0/$metadata#%s","%s":"%s","value":[`, s.URL, kind, name, link)
	for i, entry := range page {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(entry)
	}
	b.WriteString("]}")
	writeJSON(w, http.StatusOK, b.Bytes())
}

// place reads where in which round the request stands.
func (s *Server) place(r *http.Request, kind string) (place, *failure) {
	q := r.URL.Query()
	for _, name := range []string{"$deltatoken", "$skiptoken"} {
		if t := q.Get(name); t != "" && t != "latest" {
			return s.resume(kind, t)
		}
	}
	for _, name := range []string{"$top", "$orderby", "$search"} {
		if q.Has(name) {
			return place{}, badRequest("Query option '" + name + "' is not supported for this request.")
		}
	}
	p := place{Kind: kind, Issued: s.now().Unix(), Epoch: s.epoch()}
	if sel := q.Get("$select"); sel != "" {
		for _, name := range strings.Split(sel, ",") {
			known, ok := property(kind, strings.TrimSpace(name))
			if !ok {
				return p, badRequest(fmt.Sprintf("Could not find a property named '%s' on type 'microsoft.graph.%s'.", name, strings.TrimSuffix(kind, "s")))
			}
			p.Select = append(p.Select, known)
		}
	}
	ids, fail := filterIDs(q.Get("$filter"), 50)
	if fail != nil {
		return p, fail
	}
	p.IDs = ids
	p.Upto = s.visible()
	if q.Get("$deltatoken") == "latest" {
		p.From = p.Upto
	}
	return p, nil
}

func (s *Server) resume(kind, token string) (place, *failure) {
	p, err := s.sealer.open(token)
	if err != nil || p.Kind != kind {
		return p, &failure{status: http.StatusBadRequest, code: "Directory_InvalidPageToken", message: "The specified page token value is invalid."}
	}
	if s.now().Sub(p.issued()) > s.options.Lifetime || p.Epoch != s.epoch() || s.forever410() {
		return p, s.expired(kind)
	}
	if p.Delta {
		p = place{Kind: p.Kind, Select: p.Select, IDs: p.IDs, From: p.From, Upto: max(p.From, s.visible()), Epoch: p.Epoch}
	}
	p.Issued = s.now().Unix()
	return p, nil
}

// expired is one of the two ways in which Graph says that a token is too old.
func (s *Server) expired(kind string) *failure {
	if s.options.ExpireWith400 {
		return &failure{status: http.StatusBadRequest, code: "SyncStateNotFound", message: "The sync state generation is not found; the client must perform a full sync."}
	}
	h := http.Header{}
	h.Set("Location", s.URL+"/v1.0/"+kind+"/delta?$deltatoken=")
	return &failure{status: http.StatusGone, code: s.resyncCode(), message: "Resync required. Replace any local items with the server's version.", header: h}
}

// page returns the entries of one page, the token after it and whether the round goes on.
func (s *Server) page(p place, minimal bool) ([][]byte, place, bool) {
	d := s.Directory
	d.mu.Lock() // rendering fills the objects' caches
	defer d.mu.Unlock()
	next := p
	next.Page++
	if n := s.options.EmptyPages; n > 0 && p.Page%n == n-1 {
		return nil, next, true
	}
	var entries [][]byte
	objects, seqs := d.candidates(p, s.options.RemovedInFirstRound)
	size := s.pageSize()
	i := 0
	for ; i < len(objects) && len(entries) < size; i++ {
		o := objects[i]
		entry, member, whole := s.entry(o, p, next.Member, minimal)
		entries = append(entries, entry)
		next.Member = member
		if !whole {
			break // the rest of a large group opens the next page
		}
	}
	if s.options.Repeat && i > 0 && i < len(objects) {
		entries = append(entries, s.repeated(objects[0], p, minimal)...)
	}
	if s.options.Shuffle {
		rand.Shuffle(len(entries), func(a, b int) { entries[a], entries[b] = entries[b], entries[a] })
	}
	if i < len(objects) {
		next.Next = seqs[i]
		return entries, next, true
	}
	return entries, place{Kind: p.Kind, Select: p.Select, IDs: p.IDs, From: p.Upto, Issued: p.Issued, Epoch: p.Epoch, Delta: true}, false
}

// repeated gives an object of this page once more; a large group is not, for its entries are parts.
func (s *Server) repeated(o *object, p place, minimal bool) [][]byte {
	if len(o.linksOf("members").order) > s.options.MembersPerEntry {
		return nil
	}
	entry, _, _ := s.entry(o, p, 0, minimal)
	return [][]byte{entry}
}

// candidates returns the objects from the page's beginning on, at least one more than a page holds where there are
// so many, each with what place.Next must be to begin with it.
func (d *Directory) candidates(p place, dead bool) ([]*object, []uint64) {
	if p.From == 0 {
		return d.all(p, dead)
	}
	return d.changed(p)
}

func (d *Directory) all(p place, dead bool) (objects []*object, at []uint64) {
	list := d.sets[p.Kind].objects
	for i := int(p.Next); i < len(list) && len(objects) <= maxPage; i++ {
		if list[i].born > p.Upto || !p.asks(list[i].id) || list[i].state != living && !dead {
			continue
		}
		objects = append(objects, list[i])
		at = append(at, uint64(i))
	}
	return objects, at
}

func (d *Directory) changed(p place) (objects []*object, at []uint64) {
	log := d.sets[p.Kind].changes
	begin := sort.Search(len(log), func(i int) bool { return log[i].sequence > p.From })
	seen := map[*object]bool{}
	for _, c := range log[begin:] {
		if c.sequence > p.Upto {
			break
		}
		if seen[c.object] || !p.tracks(c.property) || !p.asks(c.object.id) {
			continue
		}
		seen[c.object] = true
		if c.sequence >= p.Next && len(objects) <= maxPage {
			objects = append(objects, c.object)
			at = append(at, c.sequence)
		}
	}
	return objects, at
}

func (p place) selected() []string {
	switch {
	case p.Select != nil:
		return p.Select
	case p.Kind == groups:
		return defaultGroup
	}
	return defaultUser
}

func (p place) tracks(property string) bool {
	return property == "" || slices.Contains(p.selected(), property)
}

func (p place) asks(id string) bool { return len(p.IDs) == 0 || slices.Contains(p.IDs, id) }

// entry renders one object, or the part of a large group from member on, and says where the next part
// begins and whether this was the last.
func (s *Server) entry(o *object, p place, member int, minimal bool) (entry []byte, next int, whole bool) {
	if o.state != living {
		reason := "changed"
		if o.state == purged {
			reason = "deleted"
		}
		return fmt.Appendf(nil, `{"id":"%s","@removed":{"reason":"%s"}}`, o.id, reason), 0, true
	}
	tracked := p.selected()
	if minimal && p.From > 0 {
		tracked = s.Directory.changedSince(o, p)
	}
	base := o.render(tracked)
	name := "members"
	if p.Kind == users {
		name = "manager"
	}
	if !slices.Contains(tracked, name) {
		return base, 0, true
	}
	part, next, whole := s.Directory.linkPart(o, name, p, member, s.options.MembersPerEntry)
	if part == nil {
		return base, next, whole
	}
	b := slices.Clone(base[:len(base)-1])
	b = fmt.Appendf(b, `,"%s@delta":`, name)
	b = append(b, part...)
	return append(b, '}'), next, whole
}

func (d *Directory) changedSince(o *object, p place) []string {
	var list []string
	for _, c := range d.sets[p.Kind].changes {
		if c.object != o || c.sequence <= p.From {
			continue
		}
		if c.property == "" {
			return p.selected()
		}
		if p.tracks(c.property) && !slices.Contains(list, c.property) {
			list = append(list, c.property)
		}
	}
	return list
}

// linkPart renders at most limit links from the n-th on that the round has to report.
func (d *Directory) linkPart(o *object, name string, p place, n, limit int) (part []byte, next int, whole bool) {
	order := o.linksOf(name).order
	var b []byte
	count := 0
	for ; n < len(order) && count < limit; n++ {
		l, target := order[n], d.objects[order[n].id]
		switch {
		case l.sequence <= p.From, target.state != living: // a deleted member is not reported at all
			continue
		case l.removed && p.From == 0:
			continue
		case l.removed:
			b = fmt.Appendf(b, `,{"@odata.type":"#microsoft.graph.%s","id":"%s","@removed":{"reason":"deleted"}}`, strings.TrimSuffix(target.kind, "s"), l.id)
		default:
			b = fmt.Appendf(b, `,{"@odata.type":"#microsoft.graph.%s","id":"%s"}`, strings.TrimSuffix(target.kind, "s"), l.id)
		}
		count++
	}
	whole = n >= len(order)
	if whole {
		n = 0
	}
	if b == nil {
		return nil, n, whole
	}
	b[0] = '['
	return append(b, ']'), n, whole
}

// render writes the object with the properties that were ever set.
func (o *object) render(selected []string) []byte {
	key := strings.Join(selected, ",")
	if b := o.rendered[key]; b != nil {
		return b
	}
	b := fmt.Appendf(nil, `{"id":"%s"`, o.id)
	for _, name := range selected {
		if v, ok := o.values[name]; ok {
			value, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			b = fmt.Appendf(b, `,"%s":%s`, name, value)
		}
	}
	b = append(b, '}')
	if o.rendered == nil {
		o.rendered = map[string][]byte{}
	}
	o.rendered[key] = b
	return b
}

// filterIDs reads "id eq 'a' or id eq 'b'" and "id in ('a','b')".
func filterIDs(filter string, most int) ([]string, *failure) {
	if filter == "" {
		return nil, nil
	}
	var ids []string
	rest, isIn := strings.CutPrefix(filter, "id in (")
	if isIn {
		for _, id := range strings.Split(strings.TrimSuffix(rest, ")"), ",") {
			ids = append(ids, strings.Trim(strings.TrimSpace(id), "'"))
		}
	} else {
		for _, term := range strings.Split(filter, " or ") {
			id, ok := strings.CutPrefix(strings.TrimSpace(term), "id eq ")
			if !ok {
				return nil, badRequest("Unsupported or invalid query filter clause specified.")
			}
			ids = append(ids, strings.Trim(id, "'"))
		}
	}
	if len(ids) > most {
		return nil, badRequest(fmt.Sprintf("Too many child clauses specified in search filter expression containing 'OR' operators: %d. Max allowed: %d.", len(ids), most))
	}
	return ids, nil
}
