package graphtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// App is an application registered in the tenant. Roles are its granted application permissions.
type App struct {
	ClientID string
	// Secret is the client secret, "" for none; SecretExpires is zero for never.
	Secret        string
	SecretExpires time.Time
	Certificates  []*x509.Certificate
	// Federated is the assertion that a federated credential accepts, "" for none.
	Federated string
	Roles     []string
}

// grant is an access token that was handed out.
type grant struct {
	app     *App
	issued  time.Time
	expires time.Time
}

// Register adds an application, or changes the one with that id.
func (s *Server) Register(a App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.apps[a.ClientID]; old != nil {
		*old = a
		return
	}
	s.apps[a.ClientID] = &a
}

// Revoke makes every access token handed out so far be answered with a claims challenge.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = s.nowLocked()
}

// Tokens returns every access token handed out, for tests that look for them where they must not be.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for t := range s.tokens {
		all = append(all, t)
	}
	return all
}

// StartIMDS runs the metadata service of a virtual machine, over plain http, whose managed identity is the app with clientID.
func (s *Server) StartIMDS(clientID string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" {
			http.Error(w, `{"error":"invalid_request","error_description":"Required metadata header not specified"}`, http.StatusBadRequest)
			return
		}
		q := r.URL.Query()
		if id := q.Get("client_id"); r.URL.Path != "/metadata/identity/oauth2/token" || q.Get("resource") == "" || id != "" && id != clientID {
			http.Error(w, `{"error":"invalid_request","error_description":"Identity not found"}`, http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		app := s.apps[clientID]
		s.mu.Unlock()
		token, g := s.grant(app)
		body, _ := json.Marshal(map[string]string{
			"access_token": token, "client_id": clientID, "token_type": "Bearer", "resource": q.Get("resource"),
			"expires_in": fmt.Sprint(int(g.expires.Sub(g.issued).Seconds())),
			"expires_on": fmt.Sprint(g.expires.Unix()), "not_before": fmt.Sprint(g.issued.Unix()),
		})
		writeJSON(w, http.StatusOK, body)
	}))
}

func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	if tenant != s.options.Tenant {
		signInFailure(w, "invalid_tenant", 90002, "Tenant '"+tenant+"' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.")
		return
	}
	base := s.URL + "/" + tenant
	body, _ := json.Marshal(map[string]any{
		"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
	})
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if f := s.fault(r); f != nil && !f.before(s, w, r) {
		return
	}
	if err := r.ParseForm(); err != nil || r.PathValue("tenant") != s.options.Tenant {
		signInFailure(w, "invalid_request", 90002, "Tenant not found.")
		return
	}
	if scope := r.Form.Get("scope"); r.Form.Get("grant_type") != "client_credentials" || !strings.Contains(scope, s.URL+"/.default") {
		signInFailure(w, "invalid_scope", 70011, "The provided value for scope "+scope+" is not valid.")
		return
	}
	s.mu.Lock()
	app := s.apps[r.Form.Get("client_id")]
	s.mu.Unlock()
	if app == nil {
		signInFailure(w, "unauthorized_client", 700016, "Application with identifier '"+r.Form.Get("client_id")+"' was not found in the directory.")
		return
	}
	if code, why := s.prove(app, r); why != "" {
		signInFailure(w, "invalid_client", code, why)
		return
	}
	token, g := s.grant(app)
	body, _ := json.Marshal(map[string]any{"token_type": "Bearer", "expires_in": int(g.expires.Sub(g.issued).Seconds()), "ext_expires_in": 3600, "access_token": token})
	writeJSON(w, http.StatusOK, body)
}

// prove checks what the client shows for itself.
func (s *Server) prove(app *App, r *http.Request) (int, string) {
	if assertion := r.Form.Get("client_assertion"); assertion != "" {
		if r.Form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return 50027, "JWT token is invalid or malformed."
		}
		if app.Federated != "" && assertion == app.Federated {
			return 0, ""
		}
		if err := s.checkAssertion(app, assertion, s.URL+r.URL.Path); err != nil {
			return 700027, "Client assertion contains an invalid signature: " + err.Error()
		}
		return 0, ""
	}
	secret := r.Form.Get("client_secret")
	switch {
	case app.Secret == "" || secret != app.Secret:
		return 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + app.ClientID + "'."
	case !app.SecretExpires.IsZero() && s.now().After(app.SecretExpires):
		return 7000222, "The provided client secret keys for app '" + app.ClientID + "' are expired."
	}
	return 0, ""
}

// checkAssertion verifies a client assertion: PS256 by a registered certificate, for this endpoint, fresh, once.
func (s *Server) checkAssertion(app *App, assertion, audience string) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return errors.New("not three parts")
	}
	var head struct {
		Alg  string `json:"alg"`
		X5T  string `json:"x5t#S256"`
		Type string `json:"typ"`
	}
	var body struct {
		Aud, Iss, Sub, JTI string
		Exp, Nbf           int64
	}
	if err := errors.Join(part(parts[0], &head), part(parts[1], &body)); err != nil {
		return err
	}
	i := slices.IndexFunc(app.Certificates, func(c *x509.Certificate) bool {
		sum := sha256.Sum256(c.Raw)
		return base64.StdEncoding.EncodeToString(sum[:]) == head.X5T || base64.RawURLEncoding.EncodeToString(sum[:]) == head.X5T
	})
	now := s.now().Unix()
	switch {
	case head.Alg != "PS256":
		return errors.New("algorithm " + head.Alg)
	case i < 0:
		return errors.New("the key was not found by thumbprint")
	case body.Aud != audience || body.Iss != app.ClientID || body.Sub != app.ClientID:
		return errors.New("wrong audience, issuer or subject")
	case body.Exp < now || body.Nbf > now+300:
		return errors.New("not within its valid time range")
	case now > app.Certificates[i].NotAfter.Unix():
		return errors.New("the certificate has expired")
	}
	s.mu.Lock()
	again := body.JTI == "" || s.jtis[body.JTI]
	s.jtis[body.JTI] = true
	s.mu.Unlock()
	if again {
		return errors.New("the assertion was used before")
	}
	key, ok := app.Certificates[i].PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("not an RSA key")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil)
}

func part(s string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// grant hands out a token: a JWT in form, whose signature is nobody's business but the issuer's.
func (s *Server) grant(app *App) (string, grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.nowLocked()
	g := grant{app: app, issued: now, expires: now.Add(s.options.TokenLifetime)}
	claims, _ := json.Marshal(map[string]any{
		"aud": s.URL, "iss": "https://sts.windows.net/" + s.options.Tenant + "/", "appid": app.ClientID, "tid": s.options.Tenant,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": g.expires.Unix(), "roles": app.Roles, "ver": "1.0",
	})
	signature := make([]byte, 64)
	_, _ = rand.Read(signature)
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(claims) + "." + base64.RawURLEncoding.EncodeToString(signature)
	s.tokens[token] = g
	return token, g
}

// authorize checks a Graph request's token and the permission for its path.
func (s *Server) authorize(r *http.Request) *failure {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	g, known := s.tokens[token]
	now, revoked := s.nowLocked(), s.revoked
	s.mu.Unlock()
	switch {
	case !ok:
		return &failure{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: "Access token is empty."}
	case !known || now.After(g.expires):
		return &failure{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: "Lifetime validation failed, the token is expired."}
	case !g.issued.After(revoked):
		return s.challenge()
	}
	for part, roles := range map[string][]string{
		"/users":        {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All"},
		"/groups":       {"Group.Read.All", "GroupMember.Read.All", "Directory.Read.All"},
		"/applications": {"Application.Read.All", "Directory.Read.All"},
	} {
		if strings.HasPrefix(r.URL.Path, "/v1.0"+part) && !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(g.app.Roles, role) }) {
			return &failure{status: http.StatusForbidden, code: "Authorization_RequestDenied", message: "Insufficient privileges to complete the operation."}
		}
	}
	return nil
}

// signInFailure answers as the sign-in service does: a code, a long text, a trace.
func signInFailure(w http.ResponseWriter, kind string, code int, text string) {
	trace, correlation := newID(), newID()
	body, _ := json.Marshal(map[string]any{
		"error":             kind,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: 2026-11-23 09:00:00Z", code, text, trace, correlation),
		"error_codes":       []int{code}, "timestamp": "2026-11-23 09:00:00Z", "trace_id": trace, "correlation_id": correlation,
		"error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code),
	})
	status := http.StatusUnauthorized
	if kind != "invalid_client" {
		status = http.StatusBadRequest
	}
	writeJSON(w, status, body)
}
