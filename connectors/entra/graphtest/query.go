package graphtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// list answers GET /users and GET /groups: a $filter by id or displayName, $select, $top and $count.
func (s *Server) list(w http.ResponseWriter, r *http.Request, kind string) {
	q := r.URL.Query()
	selected, fail := s.selection(kind, q.Get("$select"))
	if fail != nil {
		fail.write(w)
		return
	}
	match, fail := matcher(q.Get("$filter"))
	if fail != nil {
		fail.write(w)
		return
	}
	top := 100
	if n, err := strconv.Atoi(q.Get("$top")); err == nil {
		top = min(n, 999)
	}
	d := s.Directory
	d.mu.Lock()
	defer d.mu.Unlock()
	var b bytes.Buffer
	count := 0
	for _, o := range d.sets[kind].objects {
		if o.state != living || !match(o) {
			continue
		}
		if count++; count > top {
			continue
		}
		if count > 1 {
			b.WriteByte(',')
		}
		b.Write(o.whole(selected))
	}
	total := ""
	if q.Get("$count") == "true" && r.Header.Get("ConsistencyLevel") == "eventual" {
		total = fmt.Sprintf(`"@odata.count":%d,`, count)
	}
	writeJSON(w, http.StatusOK, fmt.Appendf(nil, `{"@odata.context":"%s/v1.0/$metadata#%s",%s"value":[%s]}`, s.URL, kind, total, b.Bytes()))
}

// single answers GET /users/{id}, with $select and $expand=manager.
func (s *Server) single(w http.ResponseWriter, r *http.Request) {
	selected, fail := s.selection(users, r.URL.Query().Get("$select"))
	if fail != nil {
		fail.write(w)
		return
	}
	d := s.Directory
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[r.PathValue("id")]
	if o == nil || o.kind != users || o.state != living {
		(&failure{status: http.StatusNotFound, code: "Request_ResourceNotFound", message: "Resource '" + r.PathValue("id") + "' does not exist or one of its queried reference-property objects are not present."}).write(w)
		return
	}
	b := o.whole(selected)
	if strings.HasPrefix(r.URL.Query().Get("$expand"), "manager") {
		for _, l := range o.linksOf("manager").order {
			if m := d.objects[l.id]; !l.removed && m.state == living {
				b = fmt.Appendf(b[:len(b)-1], `,"manager":{"@odata.type":"#microsoft.graph.user","id":"%s"}}`, l.id)
			}
		}
	}
	writeJSON(w, http.StatusOK, b)
}

// applications answers GET /applications?$filter=appId eq '…' with the app's credentials, without the secret.
func (s *Server) applications(w http.ResponseWriter, r *http.Request) {
	id := strings.Trim(strings.TrimPrefix(r.URL.Query().Get("$filter"), "appId eq "), "'")
	s.mu.Lock()
	app := s.apps[id]
	s.mu.Unlock()
	value := []any{}
	if app != nil {
		passwords, keys := []any{}, []any{}
		if app.Secret != "" && !app.SecretExpires.IsZero() {
			passwords = append(passwords, map[string]any{"displayName": "rollcall", "hint": app.Secret[:min(3, len(app.Secret))], "keyId": newID(), "endDateTime": app.SecretExpires.UTC().Format(time.RFC3339)})
		}
		for _, c := range app.Certificates {
			keys = append(keys, map[string]any{"displayName": c.Subject.String(), "keyId": newID(), "type": "AsymmetricX509Cert", "usage": "Verify", "endDateTime": c.NotAfter.UTC().Format(time.RFC3339)})
		}
		value = append(value, map[string]any{"appId": id, "displayName": "Rollcall", "passwordCredentials": passwords, "keyCredentials": keys})
	}
	body, _ := json.Marshal(map[string]any{"value": value})
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) selection(kind, list string) ([]string, *failure) {
	if list == "" {
		return place{Kind: kind}.selected(), nil
	}
	var selected []string
	for _, name := range strings.Split(list, ",") {
		known, ok := property(kind, name)
		if !ok {
			return nil, badRequest(fmt.Sprintf("Could not find a property named '%s' on type 'microsoft.graph.%s'.", name, strings.TrimSuffix(kind, "s")))
		}
		selected = append(selected, known)
	}
	return selected, nil
}

func matcher(filter string) (func(*object) bool, *failure) {
	if name, ok := strings.CutPrefix(filter, "displayName eq "); ok {
		name = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(name, "'"), "'"), "''", "'")
		return func(o *object) bool { v, _ := o.values["displayName"].(string); return strings.EqualFold(v, name) }, nil
	}
	ids, fail := filterIDs(filter, 15)
	p := place{IDs: ids}
	return func(o *object) bool { return p.asks(o.id) }, fail
}

// whole renders the object with every selected property, null where it was never set: what a plain read gives.
func (o *object) whole(selected []string) []byte {
	b := fmt.Appendf(nil, `{"id":"%s"`, o.id)
	for _, name := range selected {
		if name == "id" || name == "manager" || name == "members" {
			continue
		}
		value, _ := json.Marshal(o.values[name])
		b = fmt.Appendf(b, `,"%s":%s`, name, value)
	}
	return append(b, '}')
}
