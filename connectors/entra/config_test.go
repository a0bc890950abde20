package entra

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"rollcall/connectors"
)

const good = `
cloud: us-government
tenant_id: 8f6b1c1e-0000-4000-8000-000000000001
client_id: 41c20000-0000-4000-8000-000000000002
client_secret_file: /run/secrets/entra
proxy: http://proxy.example:3128
reconcile_every: 24h
select: {groups: [Printing], nested: false, guests: true, disabled_accounts: deactivate, where: ["(department=IT)"]}
`

func TestConfigReadsYAML(t *testing.T) {
	var c Config
	if err := yaml.UnmarshalWithOptions([]byte(good), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	where := c.cloud()
	if where.authority != "https://login.microsoftonline.us/" || where.base() != "https://graph.microsoft.us/v1.0" || where.scope() != "https://graph.microsoft.us/.default" {
		t.Errorf("cloud %+v", where)
	}
	if c.Kind() != "entra" || c.nested() || c.ReconcileEvery.Hours() != 24 {
		t.Errorf("config %+v", c)
	}
}

func TestScopeIsWhoIsRead(t *testing.T) {
	base := Config{TenantID: "ABC", ClientID: "1", ClientSecret: "s3cret", Select: Selection{Groups: []string{"b", "a"}}}
	yes := true
	same := base
	same.TenantID, same.ClientID, same.ClientSecret, same.Proxy, same.Select = "abc", "2", "other", "http://p:1", Selection{Groups: []string{"a", "b"}, Nested: &yes}
	if base.Scope() != same.Scope() || strings.Contains(base.Scope(), "s3cret") {
		t.Errorf("scopes %q and %q", base.Scope(), same.Scope())
	}
	no := false
	for name, change := range map[string]func(*Config){
		"tenant": func(c *Config) { c.TenantID = "x" }, "groups": func(c *Config) { c.Select.Groups = nil }, "nested": func(c *Config) { c.Select.Nested = &no },
		"guests": func(c *Config) { c.Select.Guests = true }, "disabled": func(c *Config) { c.Select.DisabledAccounts = "missing" }, "where": func(c *Config) { c.Select.Where = []string{"(a=b)"} },
	} {
		other := base
		change(&other)
		if other.Scope() == base.Scope() {
			t.Errorf("%s does not change the scope", name)
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	for yamlText, want := range map[string][]string{
		"{}":                       {"no way to sign in", "tenant_id", "client_id is missing"},
		"{cloud: mars}":            {`"mars" is not known`},
		"{cloud: custom}":          {"authority is missing", "graph_url is missing"},
		"{graph_url: https://a.b}": {"belong to cloud: custom"},
		"{cloud: custom, authority: http://a, graph_url: a}":              {"authority: not an https URL", "graph_url: not an https URL"},
		"{client_secret: a, certificate_file: b, managed_identity: true}": {"client_secret, certificate_file, managed_identity"},
		"{certificate_password_file: p, client_secret: a}":                {"needs certificate_file"},
		"{proxy: 'socks://user:hunter2@x'}":                               {"proxy: not an http or https URL"},
		"{tenant_id: 'a/../b'}":                                           {`"a/../b" is no tenant`},
		"{select: {disabled_accounts: ignore, groups: ['']}}":             {"select.disabled_accounts", "an empty name"},
		"{reconcile_every: -1h}":                                          {"reconcile_every"},
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(yamlText), &c); err != nil {
			t.Fatal(err)
		}
		err := c.Validate()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", yamlText, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is said: %v", yamlText, err)
		}
		if _, openErr := c.Open(connectors.Env{}); openErr == nil {
			t.Errorf("%s: opens", yamlText)
		}
	}
	if err := (Config{ManagedIdentity: true}).Validate(); err != nil {
		t.Errorf("a managed identity needs nothing else: %v", err)
	}
}

func TestWanted(t *testing.T) {
	w := newWanted([]string{"mail", "MAIL", upnPrefix, onPremisesName, "onPremisesExtensionAttributes.extensionAttribute1", "onPremisesExtensionAttributes.extensionAttribute2", "extension_0123_card", "memberOf", "passwordProfile", "id", ""})
	if got := strings.Join(w.properties, ","); got != "accountEnabled,createdDateTime,displayName,extension_0123_card,mail,onPremisesDomainName,onPremisesExtensionAttributes,onPremisesSamAccountName,userPrincipalName,userType" {
		t.Errorf("properties %s", got)
	}
	if !w.groups || strings.Join(w.refused, ",") != "passwordProfile" {
		t.Errorf("wanted %+v", w)
	}
}
