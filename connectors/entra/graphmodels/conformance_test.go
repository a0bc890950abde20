//go:build graphmodels

package graphmodels

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/serialization"
	kiotaauth "github.com/microsoft/kiota-authentication-azure-go"
	kiotajson "github.com/microsoft/kiota-serialization-json-go"
	graphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	graphgroups "github.com/microsoftgraph/msgraph-sdk-go/groups"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	graphusers "github.com/microsoftgraph/msgraph-sdk-go/users"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/entra"
	"rollcall/connectors/entra/graphtest"
)

const (
	clientID = "11111111-2222-3333-4444-555555555555"
	secret   = "s3cr~3t-Of.The.Application"
)

var attributes = []string{"mail", "department", "employeeOrgData.division", "manager", "upnPrefix", "extension_0123_card", "members"}

// TestRequestsAreTheBuilders makes a full pass, an incremental one, a look-up and a check, and wants every request to
// be the one that the SDK's builders make.
func TestRequestsAreTheBuilders(t *testing.T) {
	s := start(t)
	c, err := config(t, s).Open(connectors.Env{Attributes: attributes, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Read(t.Context(), nil, func(connectors.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Read(t.Context(), o.Next, func(connectors.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ids := s.Directory.Users()[:2]
	s.Directory.Patch(ids[0], graphtest.Properties{"mail": "new@example.org"})
	s.Inject(&graphtest.Fault{Path: "/users/delta", Times: 1, Edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"accountEnabled":true,`), nil) }})
	if _, err = c.Read(t.Context(), o.Next, func(connectors.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Present(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	built := map[string]bool{}
	for _, r := range builders(t, s, ids) {
		built[line(t, r)] = true
	}
	followed := 0
	for _, r := range s.Requests() {
		got := r.Method + " " + r.Path + "?" + r.Query.Encode() + " " + r.Header.Get("Accept") + " " + r.Header.Get("ConsistencyLevel")
		switch {
		case r.Path == "/v1.0/applications":
		case r.Query.Has("$skiptoken"), r.Query.Has("$deltatoken"):
			followed++
			if want := line(t, follow(t, s, r)); got != want {
				t.Errorf("followed a link with\n%s\nwant\n%s", got, want)
			}
		case !built[got]:
			t.Errorf("no builder makes\n%s\nof\n%v", got, built)
		default:
			delete(built, got)
		}
	}
	if followed == 0 {
		t.Error("no link was followed")
	}
	for l := range built {
		t.Errorf("nobody asked %s", l)
	}
}

// builders returns the requests that begin something, as the SDK makes them.
func builders(t *testing.T, s *graphtest.Server, ids []string) []*abstractions.RequestInformation {
	t.Helper()
	at := func() map[string]string { return map[string]string{"baseurl": s.URL + "/v1.0"} }
	fields := []string{"accountEnabled", "createdDateTime", "department", "displayName", "employeeOrgData", "extension_0123_card", "mail", "manager", "userPrincipalName", "userType"}
	plain := append([]string{"id"}, slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return f == "manager" })...)
	sdk := adapter(t, s)
	users, groups := graphusers.NewUsersRequestBuilderInternal(at(), sdk), graphgroups.NewGroupsRequestBuilderInternal(at(), sdk)
	filter, top, one, count := "id in ('"+strings.Join(ids, "','")+"')", int32(100), int32(1), true
	eventual := abstractions.NewRequestHeaders()
	eventual.Add("ConsistencyLevel", "eventual")
	return []*abstractions.RequestInformation{
		must(users.Delta().ToGetRequestInformation(t.Context(), &graphusers.DeltaRequestBuilderGetRequestConfiguration{
			QueryParameters: &graphusers.DeltaRequestBuilderGetQueryParameters{Select: fields}})),
		must(groups.Delta().ToGetRequestInformation(t.Context(), &graphgroups.DeltaRequestBuilderGetRequestConfiguration{
			QueryParameters: &graphgroups.DeltaRequestBuilderGetQueryParameters{Select: []string{"createdDateTime", "description", "displayName", "mail", "members"}}})),
		must(groups.Delta().ToGetRequestInformation(t.Context(), &graphgroups.DeltaRequestBuilderGetRequestConfiguration{
			QueryParameters: &graphgroups.DeltaRequestBuilderGetQueryParameters{Select: []string{"displayName"}}})),
		must(users.ToGetRequestInformation(t.Context(), &graphusers.UsersRequestBuilderGetRequestConfiguration{
			QueryParameters: &graphusers.UsersRequestBuilderGetQueryParameters{Filter: &filter, Select: []string{"id", "userPrincipalName", "userType"}, Top: &top}})),
		must(users.ToGetRequestInformation(t.Context(), &graphusers.UsersRequestBuilderGetRequestConfiguration{Headers: eventual,
			QueryParameters: &graphusers.UsersRequestBuilderGetQueryParameters{Count: &count, Select: plain, Top: &one}})),
		must(users.ByUserId(ids[0]).ToGetRequestInformation(t.Context(), &graphusers.UserItemRequestBuilderGetRequestConfiguration{
			QueryParameters: &graphusers.UserItemRequestBuilderGetQueryParameters{Select: plain, Expand: []string{"manager($select=id)"}}})),
		must(groups.ToGetRequestInformation(t.Context(), &graphgroups.GroupsRequestBuilderGetRequestConfiguration{Headers: eventual,
			QueryParameters: &graphgroups.GroupsRequestBuilderGetQueryParameters{Count: &count, Select: []string{"id"}, Top: &one}})),
	}
}

func follow(t *testing.T, s *graphtest.Server, r graphtest.Request) *abstractions.RequestInformation {
	link := s.URL + r.Path + "?" + r.Query.Encode()
	if strings.HasPrefix(r.Path, "/v1.0/groups") {
		return must(graphgroups.NewDeltaRequestBuilder(link, adapter(t, s)).ToGetRequestInformation(t.Context(), nil))
	}
	return must(graphusers.NewDeltaRequestBuilder(link, adapter(t, s)).ToGetRequestInformation(t.Context(), nil))
}

// line writes a request as the service sees it.
func line(t *testing.T, r *abstractions.RequestInformation) string {
	t.Helper()
	u, err := r.GetUri()
	if err != nil {
		t.Fatal(err)
	}
	return r.Method.String() + " " + u.Path + "?" + u.Query().Encode() + " " + strings.Join(r.Headers.Get("Accept"), ",") + " " + strings.Join(r.Headers.Get("ConsistencyLevel"), ",")
}

func must(r *abstractions.RequestInformation, err error) *abstractions.RequestInformation {
	if err != nil {
		panic(err)
	}
	return r
}

// TestSDKReadsTheEmulator reads with typed models what the connector reads with bytes.
func TestSDKReadsTheEmulator(t *testing.T) {
	s := start(t)
	builder := graphusers.NewDeltaRequestBuilder(s.URL+"/v1.0/users/delta?$select=displayName,department,manager", adapter(t, s))
	var ids []string
	for {
		page, err := builder.GetAsDeltaGetResponse(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.GetValue() {
			ids = append(ids, *u.GetId())
			if u.GetDisplayName() == nil || *u.GetDisplayName() == "" {
				t.Errorf("user %s has no name", *u.GetId())
			}
		}
		if page.GetOdataNextLink() == nil {
			if page.GetOdataDeltaLink() == nil {
				t.Error("neither nextLink nor deltaLink")
			}
			break
		}
		builder = builder.WithUrl(*page.GetOdataNextLink())
	}
	slices.Sort(ids)
	if !slices.Equal(ids, s.Directory.Users()) {
		t.Errorf("%d users, the directory has %d", len(ids), len(s.Directory.Users()))
	}
	_, err := graphusers.NewDeltaRequestBuilder(s.URL+"/v1.0/users/delta?$select=nonsense", adapter(t, s)).GetAsDeltaGetResponse(t.Context(), nil)
	if e, ok := err.(*odataerrors.ODataError); !ok || e.GetStatusCode() != http.StatusBadRequest || !strings.Contains(e.Error(), "nonsense") {
		t.Errorf("error %v, want the SDK to read Graph's own", err)
	}
}

func start(t *testing.T) *graphtest.Server {
	t.Helper()
	s, err := graphtest.Start(graphtest.Options{PageSize: 50, Record: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Register(graphtest.App{ClientID: clientID, Secret: secret, Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
	ids := graphtest.Fill(s.Directory, 120)
	s.Directory.SetManager(ids[0], ids[1])
	return s
}

func config(t *testing.T, s *graphtest.Server) entra.Config {
	t.Helper()
	ca, key := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "secret")
	for file, content := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), key: []byte(secret)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return entra.Config{Cloud: "custom", Authority: s.URL, GraphURL: s.URL, TenantID: s.Tenant(), ClientID: clientID, ClientSecretFile: key, CAFile: ca,
		Select: entra.Selection{Groups: []string{"Printing"}, Later: true}}
}

// adapter is the SDK's with its own defaults, where they can be had.
func adapter(t *testing.T, s *graphtest.Server) abstractions.RequestAdapter {
	t.Helper()
	client := s.Client()
	credential, err := azidentity.NewClientSecretCredential(s.Tenant(), clientID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Transport: client, Cloud: azcloud.Configuration{ActiveDirectoryAuthorityHost: s.URL + "/"}},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := kiotaauth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(credential, []string{s.URL + "/.default"}, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	parsers := serialization.NewParseNodeFactoryRegistry()
	parsers.ContentTypeAssociatedFactories["application/json"] = kiotajson.NewJsonParseNodeFactory()
	a, err := graphcore.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(auth, graphcore.GraphClientOptions{}, parsers, nil, client)
	if err != nil {
		t.Fatal(err)
	}
	a.SetBaseUrl(s.URL + "/v1.0")
	return a
}
