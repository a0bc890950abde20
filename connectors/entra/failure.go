package entra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"

	"rollcall/connectors"
)

// failure is why an attempt brought no answer.
type failure struct {
	// status is the HTTP status, 0 when there was no answer at all.
	status int
	// signIn is true when it was the sign-in service that refused.
	signIn        bool
	code, message string
	requestID     string
	// after is how long the service asked to wait; told is whether it did.
	after time.Duration
	told  bool
	cause error
}

func (f *failure) Error() string {
	who := "Graph"
	if f.signIn {
		who = "the sign-in service"
	}
	switch {
	case f.status == 0 && f.signIn:
		return "sign-in: " + f.message
	case f.status == 0:
		return f.message
	case f.code == "":
		return fmt.Sprintf("%s answered %d without a reason", who, f.status)
	case f.requestID != "":
		return fmt.Sprintf("%s answered %d %s: %s (request %s)", who, f.status, f.code, f.message, f.requestID)
	}
	return fmt.Sprintf("%s answered %d %s: %s", who, f.status, f.code, f.message)
}

func (f *failure) Unwrap() error { return f.cause }

// failureOf reads an error of the SDK's.
func failureOf(err error) *failure {
	var graph *odataerrors.ODataError
	var auth *azidentity.AuthenticationFailedError
	var file *credentialError
	switch {
	case errors.As(err, &graph):
		return graphFailure(graph)
	case errors.As(err, &auth):
		return signInFailure(auth)
	case errors.As(err, &file):
		return &failure{signIn: true, code: "credential", message: clean(file.Error()), cause: file.error}
	}
	return &failure{message: plain(err)}
}

func graphFailure(e *odataerrors.ODataError) *failure {
	f := &failure{status: e.GetStatusCode()}
	if main := e.GetErrorEscaped(); main != nil {
		f.code, f.message = deref(main.GetCode()), deref(main.GetMessage())
	}
	if h := e.GetResponseHeaders(); h != nil {
		f.requestID = clean(strings.Join(h.Get("request-id"), ""))
		f.after, f.told = retryAfter(strings.Join(h.Get("Retry-After"), ""), time.Now())
	}
	return f
}

var aadsts = regexp.MustCompile(`(AADSTS\d+):?\s*([^"]*?)\s*(?:\\r|\\n|Trace ID|$)`)

// signInFailure keeps the code and one sentence of the sign-in service's long answer.
func signInFailure(e *azidentity.AuthenticationFailedError) *failure {
	f := &failure{signIn: true}
	if e.RawResponse == nil {
		f.message, _, _ = strings.Cut(plain(e), ". To troubleshoot")
		return f
	}
	f.status = e.RawResponse.StatusCode
	f.after, f.told = retryAfter(e.RawResponse.Header.Get("Retry-After"), time.Now())
	body, _ := io.ReadAll(io.LimitReader(e.RawResponse.Body, maxErrorBody))
	if m := aadsts.FindStringSubmatch(string(body)); m != nil {
		f.code, f.message = m[1], clean(m[2])
	}
	return f
}

// pause says how long to wait before the next attempt, and whether there is to be one.
func (f *failure) pause(attempt int) (time.Duration, bool) {
	switch {
	case f.code == "credential", f.untrusted():
		return 0, false
	case f.told && (f.status == http.StatusTooManyRequests || f.status >= 500):
		jitter := rand.N(min(f.after/10+100*time.Millisecond, 2*time.Second))
		return f.after + jitter, attempt < maxThrottled && f.after <= longestWait
	case f.status == http.StatusTooManyRequests:
		return backoff(attempt + 2), attempt < maxThrottled
	case f.status == 0, f.status == http.StatusRequestTimeout, f.status >= 500:
		return backoff(attempt), attempt < maxAttempts
	}
	return 0, false
}

// explain is the failure in the contract's terms. begun is whether Graph had answered before in this pass.
func (f *failure) explain(begun bool) error {
	try, kind := f.kind(begun)
	return connectors.Hint(fmt.Errorf("%w: %w", kind, f), try)
}

func (f *failure) kind(begun bool) (try string, kind error) {
	switch {
	case f.code == "credential":
		return cmp.Or(connectors.HintOf(f.cause), "Try to check the path and that this process may read it."), connectors.ErrSecret
	case f.expired():
		return "Try again: a whole run follows by itself.", connectors.ErrCheckpointExpired
	case f.signIn && f.status != 0 && f.status < 500 && f.status != http.StatusTooManyRequests:
		return f.signInHint(), connectors.ErrDenied
	case f.untrusted():
		return "Try ca_file with the root of the server or of the proxy that answers in its place; check this machine's clock.", connectors.ErrUnreachable
	case f.status == http.StatusUnauthorized:
		return "Try again; if it persists, check that the cloud and the tenant are the application's.", connectors.ErrDenied
	case f.status == http.StatusForbidden:
		return "Try to grant the application permission and an administrator's consent for it; rollcall check names what is missing.", connectors.ErrDenied
	case f.status == http.StatusBadRequest && unknownProperty.MatchString(f.message):
		name := unknownProperty.FindStringSubmatch(f.message)[1]
		return fmt.Sprintf("Try to remove %q from the mapping, or correct it: this cloud knows no such property.", name), connectors.ErrScope
	case f.status >= 400 && f.status < 500 && f.status != http.StatusTooManyRequests && f.status != http.StatusRequestTimeout:
		return "Try to find the request in the tenant's sign-in and audit logs by the id in the message.", connectors.ErrIncomplete
	case begun:
		return "Try again later; nothing was changed.", connectors.ErrIncomplete
	}
	return "Try: curl the addresses of the cloud from this machine; check proxy and ca_file.", connectors.ErrUnreachable
}

var unknownProperty = regexp.MustCompile(`(?i)could not find a property named '([^']{1,200})'`)

// expired says whether Graph no longer knows the state that a link's token stands for.
func (f *failure) expired() bool {
	return !f.signIn && (f.status == http.StatusGone || f.status == http.StatusBadRequest && expiryCode(f.code))
}

// expiryCode knows the codes that ask for a new first round, in whatever case they are written.
func expiryCode(code string) bool {
	code = strings.ToLower(code)
	return code == "syncstatenotfound" || code == "syncstateinvalid" || strings.HasPrefix(code, "resync") ||
		code == "directory_expiredpagetoken" || code == "directory_invalidpagetoken"
}

// untrusted says whether the server's certificate was not accepted.
func (f *failure) untrusted() bool { return f.status == 0 && strings.Contains(f.message, "x509: ") }

func (f *failure) signInHint() string {
	switch f.code {
	case "AADSTS7000215":
		return "Try the secret's value (not its ID) in client_secret_file."
	case "AADSTS7000222":
		return "Try a new client secret: the old one has expired."
	case "AADSTS700016":
		return "Try to check client_id, and that the application belongs to tenant_id."
	case "AADSTS90002", "AADSTS900023":
		return "Try to check tenant_id and cloud."
	case "AADSTS700027", "AADSTS700024", "AADSTS700030":
		return "Try to upload the certificate to the application, and check its expiry and this machine's clock."
	case "AADSTS70021", "AADSTS700213", "AADSTS700211":
		return "Try to check the application's federated credential: issuer, subject and audience."
	}
	return "Try to check the application's credentials; the code in the message is explained at https://login.microsoftonline.com/error."
}

// retryAfter reads the header: seconds or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseInt(value, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(now), 0), true
	}
	return 0, false
}

// plain is the text of a network error without the URL, whose query holds a token.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if parsed, e := url.Parse(u.URL); e == nil {
			return clean(fmt.Sprintf("%s %s%s: %v", u.Op, parsed.Host, parsed.Path, u.Err))
		}
		return clean(u.Err.Error())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return clean(err.Error())
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return clean(*s)
}
