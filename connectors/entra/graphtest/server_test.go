package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// answer is what a test sees of a page.
type answer struct {
	status int
	header http.Header
	Next   string           `json:"@odata.nextLink"`
	Delta  string           `json:"@odata.deltaLink"`
	Value  []map[string]any `json:"value"`
	Error  struct{ Code, Message string }
}

type client struct {
	*Server
	t     *testing.T
	token string
}

func open(t *testing.T, o Options) *client {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Register(App{ClientID: "app", Secret: "secret", Roles: []string{"User.Read.All", "Group.Read.All"}})
	c := &client{Server: s, t: t}
	c.token, _ = c.signIn(url.Values{"client_id": {"app"}, "client_secret": {"secret"}})
	return c
}

func (c *client) signIn(form url.Values) (token, refused string) {
	c.t.Helper()
	form.Set("grant_type", "client_credentials")
	form.Set("scope", c.URL+"/.default")
	resp, err := c.Client().PostForm(c.URL+"/"+c.Tenant()+"/oauth2/v2.0/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Token string `json:"access_token"`
		Why   string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		c.t.Fatal(err)
	}
	return a.Token, a.Why
}

// get asks for a path, or a whole link.
func (c *client) get(link string, header ...string) answer {
	c.t.Helper()
	if strings.HasPrefix(link, "/") {
		link = c.URL + "/v1.0" + link
	}
	req, err := http.NewRequest(http.MethodGet, link, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	if err := json.Unmarshal(raw, &a); err != nil {
		c.t.Fatalf("%s: %v", raw, err)
	}
	return a
}

// round follows a round to its end.
func (c *client) round(link string) (entries []map[string]any, delta string, pages int) {
	c.t.Helper()
	for {
		a := c.get(link)
		pages++
		if a.status != 200 || (a.Next == "") == (a.Delta == "") || len(a.Value) > 200 {
			c.t.Fatalf("page %d: status %d, %d entries, links %q %q", pages, a.status, len(a.Value), a.Next, a.Delta)
		}
		entries = append(entries, a.Value...)
		if a.Delta != "" {
			return entries, a.Delta, pages
		}
		link = a.Next
	}
}

func TestRounds(t *testing.T) {
	c := open(t, Options{})
	var ids []string
	for i := range 450 {
		ids = append(ids, c.Directory.AddUser(Properties{"displayName": fmt.Sprint(i), "city": "Brno"}))
	}
	all, delta, pages := c.round("/users/delta?$select=displayName,jobTitle")
	if len(all) != 450 || pages != 3 {
		t.Fatalf("%d entries on %d pages", len(all), pages)
	}
	if _, there := all[0]["jobTitle"]; there || len(all[0]) != 2 {
		t.Errorf("a property that was never set, or not asked for, is told: %v", all[0])
	}
	c.Directory.Patch(ids[1], Properties{"jobTitle": "Clerk"})
	c.Directory.Patch(ids[2], Properties{"displayName": nil})
	c.Directory.Patch(ids[3], Properties{"city": "Praha"})
	c.Directory.Delete(ids[4])
	c.Directory.Delete(ids[5])
	c.Directory.Purge(ids[5])
	for range 2 { // a deltaLink can be used again
		changes, _, _ := c.round(delta)
		got, _ := json.Marshal(changes)
		want := fmt.Sprintf(`[{"displayName":"1","id":"%s","jobTitle":"Clerk"},{"displayName":null,"id":"%s"},{"@removed":{"reason":"changed"},"id":"%s"},{"@removed":{"reason":"deleted"},"id":"%s"}]`, ids[1], ids[2], ids[4], ids[5])
		if string(got) != want {
			t.Errorf("changes %s\nwant %s", got, want)
		}
	}
	if a := c.get(delta, "Prefer", "return=minimal"); len(a.Value[0]) != 2 || a.Value[0]["jobTitle"] != "Clerk" {
		t.Errorf("minimal answer %v", a.Value[0])
	}
	if now, _, _ := c.round("/users/delta?$deltatoken=latest&$select=city"); len(now) != 0 {
		t.Errorf("latest tells %d entries", len(now))
	}
	if some, _, _ := c.round("/users/delta?$filter=" + url.QueryEscape("id eq '"+ids[7]+"' or id eq '"+ids[8]+"'")); len(some) != 2 {
		t.Errorf("the filter lets %d through", len(some))
	}
}

func TestLargeGroupComesInParts(t *testing.T) {
	c := open(t, Options{MembersPerEntry: 3})
	g := c.Directory.AddGroup(Properties{"displayName": "Large"})
	var want []string
	for i := range 8 {
		id := c.Directory.AddUser(Properties{"displayName": fmt.Sprint(i)})
		c.Directory.AddMember(g, id)
		want = append(want, id)
	}
	entries, delta, _ := c.round("/groups/delta?$select=displayName,members")
	var got []string
	for _, e := range entries {
		for _, m := range e["members@delta"].([]any) {
			got = append(got, m.(map[string]any)["id"].(string))
		}
	}
	slices.Sort(want)
	if slices.Sort(got); len(entries) != 3 || !slices.Equal(got, want) {
		t.Errorf("%d entries with members %v, want 3 with %v", len(entries), got, want)
	}
	c.Directory.RemoveMember(g, want[0])
	c.Directory.Delete(want[1]) // of a deleted user's membership nobody is told
	entries, _, _ = c.round(delta)
	if text, _ := json.Marshal(entries); len(entries) != 1 || strings.Count(string(text), "@removed") != 1 || !strings.Contains(string(text), want[0]) {
		t.Errorf("after a removal: %s", text)
	}
}

func TestRefusals(t *testing.T) {
	c := open(t, Options{})
	long := strings.TrimSuffix(strings.Repeat("id eq 'a' or ", 51), " or ")
	for link, want := range map[string]string{
		"/users/delta?$select=nonsense":                          "400 Request_BadRequest",
		"/users/delta?$top=10":                                   "400 Request_BadRequest",
		"/users/delta?$orderby=displayName":                      "400 Request_BadRequest",
		"/users/delta?$filter=" + url.QueryEscape(long):          "400 Request_BadRequest",
		"/users/delta?$filter=" + url.QueryEscape("mail eq 'a'"): "400 Request_BadRequest",
		"/users/delta?$deltatoken=made-up":                       "400 Directory_InvalidPageToken",
		"/applications":                                          "403 Authorization_RequestDenied",
		"/nothing":                                               "400 BadRequest",
		"/users?$filter=" + url.QueryEscape(long):                "400 Request_BadRequest",
	} {
		if a := c.get(link); fmt.Sprint(a.status, " ", a.Error.Code) != want {
			t.Errorf("%.60s: %d %s, want %s", link, a.status, a.Error.Code, want)
		}
	}
	c.token = "nobody's"
	if a := c.get("/users"); a.status != 401 {
		t.Errorf("a made-up token: %d", a.status)
	}
}

func TestTokensGrowOld(t *testing.T) {
	c := open(t, Options{TokenLifetime: 1000 * time.Hour})
	_, delta, _ := c.round("/users/delta")
	c.Advance(7*24*time.Hour - time.Minute)
	if a := c.get(delta); a.status != 200 {
		t.Errorf("before seven days: %d %s", a.status, a.Error.Code)
	}
	c.Advance(2 * time.Minute)
	if a := c.get(delta); a.status != 410 || a.header.Get("Location") == "" || a.Error.Code != "resyncChangesApplyDifferences" {
		t.Errorf("after seven days: %d %s", a.status, a.Error.Code)
	}
}

func TestEarlyRetryIsPunished(t *testing.T) {
	c := open(t, Options{})
	c.Inject(&Fault{Throttle: true, Wait: 10 * time.Second, Times: 1})
	for i, step := range []struct {
		wait time.Duration
		want int
	}{{0, 429}, {9 * time.Second, 429}, {2 * time.Second, 200}} {
		c.Advance(step.wait)
		if a := c.get("/users/delta"); a.status != step.want {
			t.Errorf("request %d: %d, want %d", i, a.status, step.want)
		}
	}
	if c.Early() != 1 {
		t.Errorf("%d early retries, want 1", c.Early())
	}
}

func TestSignInRefuses(t *testing.T) {
	c := open(t, Options{})
	c.Register(App{ClientID: "old", Secret: "secret", SecretExpires: time.Now().Add(-time.Hour)})
	assertion := func(a string) url.Values {
		return url.Values{"client_id": {"app"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {a}}
	}
	for want, form := range map[string]url.Values{
		"AADSTS700016":    {"client_id": {"nobody"}},
		"AADSTS7000215":   {"client_id": {"app"}, "client_secret": {"wrong"}},
		"AADSTS7000222":   {"client_id": {"old"}, "client_secret": {"secret"}},
		"AADSTS50027":     {"client_id": {"app"}, "client_assertion": {"a.b.c"}},
		"AADSTS700027":    assertion("e30.e30.e30"),
		"not three parts": assertion("e30"),
	} {
		if token, why := c.signIn(form); token != "" || !strings.Contains(why, want) {
			t.Errorf("%v: %q, want %s", form, why, want)
		}
	}
}

func TestMetadataServiceWantsItsHeader(t *testing.T) {
	c := open(t, Options{})
	imds := c.StartIMDS("app")
	defer imds.Close()
	resp, err := http.Get(imds.URL + "/metadata/identity/oauth2/token?resource=x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d without the header", resp.StatusCode)
	}
}
