package entra

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReadError(t *testing.T) {
	for _, c := range []struct{ name, body, code, message string }{
		// learn.microsoft.com/graph/errors
		{"the documentation's sample", `{"error": {"code": "invalidRange", "message": "Uploaded fragment overlaps with existing data.", "innerError": {"request-id": "request-id", "date": "date-time"}}}`,
			"invalidRange", "Uploaded fragment overlaps with existing data."},
		{"the documentation's inner codes", `{"error": {"code": "invalidRequest", "message": "m", "innererror": {"code": "x", "innererror": {"code": "resyncApplyDifferences"}}}}`, "resyncApplyDifferences", "m"},
		{"other inner codes", `{"error": {"code": "TooManyRequests", "message": "Please retry again later.", "innerError": {"code": "429", "message": "Please retry after"}}}`, "TooManyRequests", "Please retry again later."},
		{"nulls", `{"error":{"code":null,"message":null,"innerError":null}}`, "http400", "Bad Request"},
		{"a text", `{"error":"invalid_request","error_description":"AADSTS900 and so on"}`, "invalid_request", "AADSTS900 and so on"},
		{"a language", `{"error":{"code":"X","message":{"lang":"en-us","value":"busy"}}}`, "X", "busy"},
		{"no error", `{"code":"X","message":"busy"}`, "X", "busy"},
		{"numbers", `{"error":{"code":17,"message":[1]}}`, "17", "[1]"},
		{"an array", `[]`, "http400", `an error page of type "text/html" that is not Graph's`},
		{"a page", `<html>`, "http400", `an error page of type "text/html" that is not Graph's`},
		{"null", `null`, "http400", "Bad Request"},
		{"secrets", `{"error":{"code":"X","message":"token eyJ0eXAiOiJKV1QiLCJhbGci.eyJhdWQiOiJodHRwcz.sig at ?$skiptoken=abc"}}`, "X", "token … at ?…"},
		{"lines", "{\"error\":{\"code\":\"X\",\"message\":\"a\\r\\nb\"}}", "X", "a b"},
	} {
		resp := &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(c.body))}
		if code, message := readError(resp, "text/html"); code != c.code || message != c.message {
			t.Errorf("%s: %q %q, want %q %q", c.name, code, message, c.code, c.message)
		}
	}
}

func FuzzReadError(f *testing.F) {
	f.Add(`{"error":{"code":"a","innerError":{"code":"resyncRequired"}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		code, message := readError(&http.Response{StatusCode: 500, Body: io.NopCloser(strings.NewReader(body))}, "a/b")
		if code == "" || message == "" {
			t.Fatalf("%q: %q %q", body, code, message)
		}
	})
}
