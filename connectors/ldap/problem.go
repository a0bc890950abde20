package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// say turns a failed operation into an error that names server, operation and reason, its kind, and what to try.
func (se *session) say(err error, doing string) error {
	if se.ctx.Err() != nil {
		return context.Cause(se.ctx)
	}
	if cause := se.tap.failure(); cause != nil { // what ended the stream says more than "connection closed"
		var emitted *emitError
		if errors.As(cause, &emitted) {
			return emitted.error
		}
		if !errors.Is(cause, net.ErrClosed) {
			err = cause
		}
	}
	words, try, kind := explain(err)
	return connectors.Hint(fmt.Errorf("%w: %s: %s: %w", kind, se.server, doing, spoken{err, words}), try)
}

// spoken is an error in an operator's words.
type spoken struct {
	error
	words string
}

func (s spoken) Error() string { return s.words }
func (s spoken) Unwrap() error { return s.error }

// resultCode returns the LDAP result that err stands for, 0 for none.
func resultCode(err error) uint16 {
	if result := resultOf(err); result != nil {
		return result.ResultCode
	}
	return 0
}

// resultOf returns the LDAP result in err's chain, nil for none. The numbers from 200 to 299 are go-ldap's own, and no server's.
func resultOf(err error) *ldap.Error {
	var result *ldap.Error
	if !errors.As(err, &result) || result.ResultCode >= ldap.ErrorNetwork && result.ResultCode < 300 {
		return nil
	}
	return result
}

// emitError is an error of the receiver of records, which is nobody's fault here.
type emitError struct{ error }

// errLimit means that the server ended a search at a limit of its own.
var errLimit = fmt.Errorf("%w: a limit of the server", connectors.ErrIncomplete)

// explain gives an LDAP result its kind, its words and what to try.
func explain(err error) (words, try string, kind error) {
	result := resultOf(err)
	if result == nil {
		return err.Error(), "is the server overloaded or restarting? run the source again", connectors.ErrIncomplete
	}
	words = fmt.Sprintf("%s (%d)", strings.ToLower(ldap.LDAPResultCodeMap[result.ResultCode]), result.ResultCode)
	if result.Err != nil && result.Err.Error() != "" {
		words += ": " + strings.TrimRight(result.Err.Error(), "\x00")
	}
	switch result.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		return invalidCredentials(words), "check bind_dn and the password", connectors.ErrDenied
	case ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired:
		return words, "the server wants an encrypted connection: use ldaps:// or tls: {start_tls: true}", connectors.ErrDenied
	case ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultAuthMethodNotSupported:
		return words, "give the account the right to read the people, or use another", connectors.ErrDenied
	case ldap.LDAPResultNoSuchObject:
		if result.MatchedDN != "" {
			words += ", but " + result.MatchedDN + " is there"
		}
		return words, "check base_dns; rollcall init ldap --server URL finds the naming context", connectors.ErrScope
	case ldap.LDAPResultInvalidDNSyntax:
		return words, "check base_dns", connectors.ErrScope
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return words, "give the account that reads the directory no limits on the server, or a smaller page_size", errLimit
	case ldap.LDAPResultReferral:
		return "the server holds no entries of this base and refers to another: " + words, "name the server that holds them in servers", connectors.ErrIncomplete
	case ldap.LDAPResultSyncRefreshRequired:
		return words, "the next run reads everything", connectors.ErrCheckpointExpired
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return words, "run the source again when the server is less busy", connectors.ErrIncomplete
	}
	return words, "rollcall check shows what the server offers", connectors.ErrIncomplete
}

// directoryCodes are Active Directory's reasons for refusing a sign-in, behind "data" in its message.
var directoryCodes = map[string]string{
	"525": "there is no such account", "52e": "the password is wrong", "530": "the account may not sign in at this time",
	"531": "the account may not sign in from this computer", "532": "the password has expired", "533": "the account is disabled",
	"701": "the account has expired", "773": "the password must be changed first", "775": "the account is locked",
}

func invalidCredentials(words string) string {
	_, code, found := strings.Cut(words, "data ")
	code, _, _ = strings.Cut(code, ",")
	if reason := directoryCodes[strings.TrimSpace(code)]; found && reason != "" {
		return reason + " (49, data " + strings.TrimSpace(code) + ")"
	}
	return words
}

// unreachable says why a server could not be connected to.
func unreachable(server string, err error) error {
	words, try := err.Error(), "is the server running, and does a firewall let rollcall through?"
	var file *fs.PathError
	var header tls.RecordHeaderError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &file):
		try = "check the files under tls"
	case errors.As(err, &header):
		words, try = "it does not speak TLS on this port", "ldaps:// with the port for it (636), or ldap:// with tls: {start_tls: true}"
	case errors.As(err, &dns):
		words, try = "the host name "+dns.Name+" is not known", "check servers"
	case errors.Is(err, syscall.ECONNREFUSED):
		words = "connection refused"
	case errors.As(err, &authority):
		words, try = "its certificate is signed by an authority that is not trusted", "tls: {ca_file: the authority's certificate in PEM}"
	case errors.As(err, &host):
		words, try = host.Error(), "use the name in the certificate, in servers or as tls: {server_name: …}"
	case errors.As(err, &invalid):
		words, try = invalid.Error(), "renew the server's certificate"
	case errors.Is(err, errNoStartTLS):
		try = "use ldaps://, or switch StartTLS on in the server"
	case errors.Is(err, context.DeadlineExceeded):
		words = "no answer within " + dialTimeout.String()
	}
	return connectors.Hint(fmt.Errorf("%w: %s: %s", connectors.ErrUnreachable, server, words), try)
}
