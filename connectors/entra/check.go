package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// expiryAlarm is how long before a credential expires an operator is told.
const expiryAlarm = 30 * 24 * time.Hour

// Check signs in, looks at users and (where they are needed) groups, and at when the credential expires.
func (c *connector) Check(ctx context.Context) ([]string, error) {
	c.client.begin()
	users, err := c.count(ctx, "users")
	if err != nil {
		return nil, wrap(err)
	}
	lines := []string{
		fmt.Sprintf("signed in to tenant %s as application %s with %s", c.config.TenantID, c.config.ClientID, c.config.signInName()),
		fmt.Sprintf("User.Read.All is granted; the tenant has %d users", users),
	}
	if c.config.walks() || c.wanted.groups {
		n, err := c.count(ctx, "groups")
		if err != nil {
			return lines, wrap(err)
		}
		lines = append(lines, fmt.Sprintf("Group.Read.All is granted; the tenant has %d groups", n))
		found, err := c.selectedLine(ctx)
		if err != nil {
			return lines, wrap(err)
		}
		lines = append(lines, found...)
	}
	return append(lines, c.expiryLines(ctx)...), nil
}

// selectedLine says that the groups named in the selection are there, nothing when there are none.
func (c *connector) selectedLine(ctx context.Context) ([]string, error) {
	if len(c.config.Select.Groups) == 0 {
		return nil, nil
	}
	chosen, err := c.closure(ctx)
	switch {
	case err != nil:
		return nil, err
	case chosen != nil:
		return []string{fmt.Sprintf("the selected groups have %d members", len(chosen.users))}, nil
	}
	g := newGroups(true, time.Time{})
	r := &round{client: c.client, set: "groups", fields: []string{"displayName"}} // without their members, who are many
	if _, err := r.run(ctx, newPage(), g.take); err != nil {
		return nil, err
	}
	_, err = g.named(c.config.Select.Groups)
	return []string{fmt.Sprintf("the selected groups are there: %s", strings.Join(c.config.Select.Groups, ", "))}, err
}

func (c *connector) expiryLines(ctx context.Context) (lines []string) {
	ends, err := c.credentialEnds(ctx)
	var f *failure
	switch {
	case errors.As(err, &f) && f.status == http.StatusForbidden:
		lines = append(lines, "when the client secret expires cannot be seen without Application.Read.All")
	case err != nil:
		lines = append(lines, "when the credential expires could not be found out: "+err.Error())
	}
	for _, e := range ends {
		lines = append(lines, e.sentence(c.now()))
	}
	return lines
}

// count asks for one object with all properties that a run asks for, and how many there are.
func (c *connector) count(ctx context.Context, set string) (int, error) {
	fields := []string{"id"}
	if set == "users" {
		fields = append(fields, c.wanted.plainProperties()...)
	}
	r := request("{+baseurl}/"+set+"{?%24count,%24select,%24top}", map[string]string{"%24count": "true", "%24select": strings.Join(fields, ","), "%24top": "1"})
	r.Headers.TryAdd("ConsistencyLevel", "eventual")
	body, err := c.client.get(ctx, r)
	if err != nil {
		return 0, explainList(set, err)
	}
	var answer struct {
		Count int `json:"@odata.count"`
	}
	return answer.Count, json.Unmarshal(body, &answer)
}

// end is when a credential expires.
type end struct {
	what string
	at   time.Time
}

func (e end) sentence(now time.Time) string {
	days := int(e.at.Sub(now).Hours() / 24)
	switch {
	case now.After(e.at):
		return fmt.Sprintf("Warning: the %s expired on %s", e.what, e.at.Format(time.DateOnly))
	case e.at.Sub(now) < expiryAlarm:
		return fmt.Sprintf("Warning: the %s expires on %s, in %d days: renew it", e.what, e.at.Format(time.DateOnly), days)
	}
	return fmt.Sprintf("the %s expires on %s", e.what, e.at.Format(time.DateOnly))
}

// expiries are the warnings of a whole run.
func (c *connector) expiries(ctx context.Context) (warnings []string) {
	ends, _ := c.credentialEnds(ctx) // a courtesy: whoever must know asks Check
	for _, e := range ends {
		if e.at.Sub(c.now()) < expiryAlarm {
			warnings = append(warnings, e.sentence(c.now()))
		}
	}
	return warnings
}

// credentialEnds says when the credential in use expires, as far as that can be known: a certificate says it itself, a
// secret only to applications that may read themselves (Application.Read.All).
func (c *connector) credentialEnds(ctx context.Context) ([]end, error) {
	switch {
	case c.config.CertificateFile != "":
		certificates, _, err := readCertificate(c.config.CertificateFile, c.config.CertificatePasswordFile)
		if err != nil || len(certificates) == 0 {
			return nil, err
		}
		return []end{{"certificate", certificates[0].NotAfter}}, nil
	case c.config.ClientSecret != "" || c.config.ClientSecretFile != "":
		return c.secretEnds(ctx)
	}
	return nil, nil
}

// secretEnds asks once, without patience. A secret is known by its first three characters.
func (c *connector) secretEnds(ctx context.Context) (ends []end, err error) {
	secret, err := c.config.secret()
	if err != nil {
		return nil, err
	}
	body, err := c.client.attempt(ctx, request("{+baseurl}/applications{?%24filter,%24select}", map[string]string{
		"%24filter": "appId eq '" + c.config.ClientID + "'", "%24select": "appId,passwordCredentials",
	}))
	if err != nil {
		return nil, failureOf(err)
	}
	var answer struct {
		Value []struct {
			PasswordCredentials []struct {
				Hint        string    `json:"hint"`
				EndDateTime time.Time `json:"endDateTime"`
			} `json:"passwordCredentials"`
		} `json:"value"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	for _, app := range answer.Value {
		for _, p := range app.PasswordCredentials {
			if len(secret) >= 3 && p.Hint == secret[:3] {
				ends = append(ends, end{"client secret", p.EndDateTime})
			}
		}
	}
	return ends, nil
}

func (c Config) signInName() string {
	switch {
	case c.ManagedIdentity:
		return "a managed identity"
	case c.WorkloadIdentity != "":
		return "a workload identity"
	case c.CertificateFile != "":
		return "a certificate"
	}
	return "a client secret"
}

// wrap puts the connector's name before an error.
func wrap(err error) error { return fmt.Errorf("entra: %w", err) }
