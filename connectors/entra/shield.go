package entra

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	kiotahttp "github.com/microsoft/kiota-http-go"
)

const (
	maxBody      = 256 << 20
	maxErrorBody = 64 << 10
	maxMessage   = 400
)

// shield is the outermost middleware: what passes it is either JSON, or an error whose body the SDK can
// read, whatever the service or a gateway before it answered. Status and headers stay.
type shield struct {
	heard func(http.Header) // is told the headers of every answer
}

var _ kiotahttp.Middleware = shield{}

// Intercept sends the request on and looks at the answer.
func (s shield) Intercept(next kiotahttp.Pipeline, index int, r *http.Request) (*http.Response, error) {
	resp, err := next.Next(r, index)
	if err != nil {
		return nil, err
	}
	s.heard(resp.Header)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode >= 400:
		code, message := readError(resp, kind)
		mendChallenge(resp.Header)
		replace(resp, code, message)
	case resp.StatusCode != http.StatusOK:
		code, message := "unexpectedStatus", fmt.Sprintf("status %d instead of an answer", resp.StatusCode)
		resp.StatusCode = http.StatusBadGateway
		replace(resp, code, message)
	case kind != "application/json":
		code, message := "notJSON", fmt.Sprintf("an answer of type %q instead of JSON: is there a proxy or portal in between?", clean(kind))
		resp.StatusCode = http.StatusBadGateway
		replace(resp, code, message)
	default:
		resp.Body = &bounded{resp.Body, maxBody}
	}
	return resp, nil
}

// replace puts an error body of Graph's form in the place of whatever was there.
func replace(resp *http.Response, code, message string) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection can be used again
	_ = resp.Body.Close()
	body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Type", "application/json")
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// errorBody is an error's body in any of the forms in which they come.
type errorBody struct {
	Error            json.RawMessage `json:"error"`
	Code             any             `json:"code"`
	Message          any             `json:"message"`
	ErrorDescription any             `json:"error_description"`
	InnerError       json.RawMessage `json:"innerError"` // also "innererror"
}

// readError finds code and message in an error's body.
func readError(resp *http.Response, kind string) (code, message string) {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var body errorBody
	if json.Unmarshal(raw, &body) != nil {
		return "http" + strconv.Itoa(resp.StatusCode), fmt.Sprintf("an error page of type %q that is not Graph's", clean(kind))
	}
	inner := body
	if json.Unmarshal(body.Error, &inner) != nil {
		_ = json.Unmarshal(body.Error, &inner.Code) // "error": "invalid_request"
	}
	code = cmp.Or(inner.expiry(), text(inner.Code), "http"+strconv.Itoa(resp.StatusCode))
	message = cmp.Or(text(inner.Message), text(body.ErrorDescription), http.StatusText(resp.StatusCode))
	return code, message
}

// expiry returns the code that says that a token is too old, where one stands further inside than the general one.
func (e errorBody) expiry() string {
	for range 8 {
		if code := text(e.Code); expiryCode(code) {
			return code
		}
		inside := e.InnerError
		if e = (errorBody{}); json.Unmarshal(inside, &e) != nil {
			break
		}
	}
	return ""
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return clean(v)
	case map[string]any: // older services: {"message": {"lang": …, "value": …}}
		return text(v["value"])
	}
	return clean(fmt.Sprint(v))
}

// secrets are what no text may show: tokens and assertions have this form, links carry theirs in the query.
var secrets = regexp.MustCompile(`eyJ[A-Za-z0-9_.\-]{10,}|\$?(skiptoken|deltatoken|client_secret|client_assertion|access_token)["']?\s*[=:]\s*["']?[^\s"'&]+`)

// clean makes a foreign text fit for an error: printable, short, without secrets.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r < 0x20 || r == 0x7f }), " ")
	s = secrets.ReplaceAllString(s, "…")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

var claims = regexp.MustCompile(`(?i)\bclaims\s*=\s*"?([A-Za-z0-9+/=_\-]+)"?`)

// mendChallenge brings a claims challenge into the one form that the SDK reads without a panic: quoted, in
// padded standard base64. Claims in any other form are taken out, so that the answer is an ordinary refusal.
func mendChallenge(h http.Header) {
	value := h.Get("WWW-Authenticate")
	if !strings.Contains(strings.ToLower(value), "claims") {
		return
	}
	if m := claims.FindStringSubmatch(value); m != nil {
		plain, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(m[1]))
		if err == nil && json.Valid(plain) {
			h.Set("WWW-Authenticate", `Bearer claims="`+base64.StdEncoding.EncodeToString(plain)+`"`)
			return
		}
	}
	h.Set("WWW-Authenticate", `Bearer error="insufficient_claims"`)
}

// bounded is a body that may not be longer than left.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an answer of more than %d MiB", maxBody>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
