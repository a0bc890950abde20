package entra

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/entra/graphtest"
)

// asked are the attributes of the conformance suite's people.
var asked = []string{
	"mail", "otherMails", "businessPhones", "department", "jobTitle", "employeeId", "proxyAddresses", "preferredLanguage",
	"companyName", "onPremisesExtensionAttributes.extensionAttribute1", "passwordProfile", "upnPrefix",
}

func TestConformance(t *testing.T) {
	tn := newTenant(t, graphtest.Options{PageSize: 10})
	breaks := []connectorstest.Break{
		tn.breaks("reset", connectors.ErrIncomplete, &graphtest.Fault{Reset: true}),
		tn.breaks("body cut", connectors.ErrIncomplete, &graphtest.Fault{Cut: 700}),
		tn.breaks("gateway page", connectors.ErrIncomplete, &graphtest.Fault{Status: 502, ContentType: "text/html", Body: "<html><body>Bad gateway</body></html>"}),
		tn.breaks("portal with status 200", connectors.ErrIncomplete, &graphtest.Fault{Status: 200, ContentType: "text/html", Body: "<html>Please sign in</html>"}),
		tn.breaks("redirect", connectors.ErrIncomplete, &graphtest.Fault{Status: 302, Header: http.Header{"Location": {"https://portal.example/"}}}),
		tn.breaks("empty body", connectors.ErrIncomplete, &graphtest.Fault{Status: 200, ContentType: "application/json"}),
		tn.breaks("no content", connectors.ErrIncomplete, &graphtest.Fault{Status: 204}),
		tn.breaks("throttled for good", connectors.ErrIncomplete, &graphtest.Fault{Throttle: true, Wait: time.Second}),
		tn.breaks("drip", connectors.ErrIncomplete, &graphtest.Fault{Drip: 50 * time.Millisecond}),
		tn.breaks("410", connectors.ErrIncomplete, &graphtest.Fault{Status: 410, ContentType: "application/json", Body: `{"error":{"code":"resyncRequired","message":"Resync"}}`}),
		tn.breaks("syncStateNotFound", connectors.ErrIncomplete, &graphtest.Fault{Status: 400, ContentType: "application/json", Body: `{"error":{"code":"SYNCSTATENOTFOUND","message":""}}`}),
		tn.breaks("no link", connectors.ErrIncomplete, &graphtest.Fault{Edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("@odata."), []byte("@other.")) }}),
		tn.breaks("both links", connectors.ErrIncomplete, &graphtest.Fault{Edit: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"@odata.context"`), []byte(`{"@odata.deltaLink":"https://a/b","@odata.context"`), 1)
		}}),
		tn.breaks("link to a stranger", connectors.ErrIncomplete, &graphtest.Fault{Edit: func(b []byte) []byte {
			return bytes.Replace(b, []byte(tn.URL+"/v1.0/users"), []byte("https://graph.evil.example/v1.0/users"), 1)
		}}),
		tn.breaks("circle", connectors.ErrIncomplete, &graphtest.Fault{Edit: sameNextLink()}),
		tn.breaks("not JSON", connectors.ErrIncomplete, &graphtest.Fault{Status: 200, ContentType: "application/json", Body: `{"value":[{"id":"1"},{]}`}),
		{Name: "server gone", Err: connectors.ErrIncomplete, Open: tn.filled, During: func(testing.TB) { tn.Inject(&graphtest.Fault{Reset: true}) }},
		{Name: "secret expired in mid-run", Err: connectors.ErrDenied, Open: tn.filled, During: func(testing.TB) {
			tn.Register(graphtest.App{ClientID: clientID, Secret: secret, SecretExpires: time.Now().Add(-time.Minute), Roles: []string{"User.Read.All", "Application.Read.All"}})
			tn.Revoke()
		}},
	}
	connectorstest.Run(t, connectorstest.Harness{
		Size: 25,
		Open: func(testing.TB) connectors.Connector { return tn.restored().open(asked...) },
		Fill: tn.people, Want: want, Breaks: breaks,
		Missing:     func(i int) string { return fmt.Sprintf("99999999-0000-4000-8000-%012d", i) },
		Unreachable: func(testing.TB) connectors.Connector { return tn.unreachable() },
		Remove:      func(_ testing.TB, key string) { tn.Directory.Delete(key) },
		Update:      func(_ testing.TB, key string, p people.Person) { tn.Directory.Patch(key, properties(p)) },
		Incremental: true, TellsDeleted: true,
		Secrets: append(tn.Tokens(), secret),
	})
	tn.nothingLeaked(t)
}

// breaks is a fault of the second page and all that follow.
func (tn *tenant) breaks(name string, err error, f *graphtest.Fault) connectorstest.Break {
	return connectorstest.Break{Name: name, Err: err, Open: func(t testing.TB, list []people.Person) connectors.Connector {
		c := tn.filled(t, list)
		again := graphtest.Fault{Path: "/users/delta", Skip: 1, Throttle: f.Throttle, Wait: f.Wait, Status: f.Status, Body: f.Body,
			ContentType: f.ContentType, Header: f.Header, Cut: f.Cut, Reset: f.Reset, Drip: f.Drip, Edit: f.Edit}
		tn.Inject(&again)
		return c
	}}
}

func (tn *tenant) filled(t testing.TB, list []people.Person) connectors.Connector {
	tn.people(t, list)
	c := tn.restored().open(asked...)
	c.client.timeout = 300 * time.Millisecond
	return c
}

func (tn *tenant) restored() *tenant {
	tn.ClearFaults()
	tn.Register(graphtest.App{ClientID: clientID, Secret: secret, Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
	return tn
}

func (tn *tenant) unreachable() connectors.Connector {
	tn.restored()
	cfg := tn.cfg
	tn.cfg.GraphURL, tn.cfg.Authority = "https://127.0.0.1:1", "https://127.0.0.1:1"
	defer func() { tn.cfg = cfg }()
	return tn.open()
}

func (tn *tenant) people(_ testing.TB, list []people.Person) []string {
	for _, id := range tn.Directory.Users() {
		tn.Directory.Delete(id)
	}
	var ids []string
	for _, p := range list {
		ids = append(ids, tn.Directory.AddUser(properties(p)))
	}
	return ids
}

func properties(p people.Person) graphtest.Properties {
	return graphtest.Properties{
		"userPrincipalName": p.Mail, "displayName": p.FullName, "accountEnabled": true, "userType": "Member", "mail": p.Mail,
		"otherMails": list(p.AlternateMails), "businessPhones": list(some(p.Phone)), "department": p.Department, "jobTitle": p.Title,
		"employeeId": p.EmployeeNumber, "proxyAddresses": list(p.Aliases), "preferredLanguage": p.Language, "companyName": null(p.Company),
		"onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": null(cards(p)), "extensionAttribute2": nil},
		"passwordProfile":               map[string]any{"password": p.Password},
	}
}

func want(p people.Person) map[string][]string {
	return map[string][]string{
		"userPrincipalName": {p.Mail}, "displayName": {p.FullName}, "mail": {p.Mail}, "otherMails": p.AlternateMails,
		"businessPhones": some(p.Phone), "department": {p.Department}, "jobTitle": {p.Title}, "employeeId": {p.EmployeeNumber},
		"proxyAddresses": p.Aliases, "preferredLanguage": {p.Language}, "companyName": some(p.Company),
		"onPremisesExtensionAttributes.extensionAttribute1": some(cards(p)), "upnPrefix": {p.UID},
	}
}

func cards(p people.Person) string {
	if len(p.Cards) == 0 {
		return ""
	}
	return p.Cards[0]
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func list(l []string) []string { return append([]string{}, l...) }

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// sameNextLink makes every page name the next page of the first one spoiled.
func sameNextLink() func([]byte) []byte {
	var first []byte
	return func(b []byte) []byte {
		from := bytes.Index(b, []byte(`"@odata.`))
		at := bytes.Index(b[from+1:], []byte(`"@odata.`)) + from + 1
		end := bytes.Index(b, []byte(`,"value"`))
		link := b[at:end]
		if first == nil {
			first = slices.Clone(bytes.Replace(link, []byte("deltaLink"), []byte("nextLink"), 1))
		}
		return bytes.Replace(b, link, first, 1)
	}
}
