package ldap

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// logSearch logs a search as a command that an operator can run.
func (s *source) logSearch(server string, page int, r *ldap.SearchRequest) {
	if log := s.env.Log.Debug(); log.Enabled() {
		log.Int("page", page).Msg(s.pasteable(server, r))
	}
}

// pasteable is the ldapsearch that asks a server what a request does. The password is $LDAPPASSWORD.
func (s *source) pasteable(server string, r *ldap.SearchRequest) string {
	parts := append(s.pasteableTLS(server), "ldapsearch")
	parts = append(parts, s.pasteableIdentity()...)
	parts = append(parts, "-LLL", "-H", server)
	if s.config.TLS.StartTLS {
		parts = append(parts, "-ZZ")
	}
	for _, c := range r.Controls {
		if text := s.pasteableControl(c); text != "" {
			parts = append(parts, "-E", quoted(text))
		}
	}
	if r.SizeLimit > 0 {
		parts = append(parts, "-z", fmt.Sprint(r.SizeLimit))
	}
	switch r.Scope {
	case ldap.ScopeBaseObject:
		parts = append(parts, "-s", "base")
	case ldap.ScopeSingleLevel:
		parts = append(parts, "-s", "one")
	}
	parts = append(parts, "-b", quoted(r.BaseDN), quoted(r.Filter))
	for _, a := range r.Attributes {
		parts = append(parts, quoted(a))
	}
	return strings.Join(parts, " ")
}

// pasteableTLS are the settings of the environment for an encrypted connection.
func (s *source) pasteableTLS(server string) (parts []string) {
	if !strings.HasPrefix(server, "ldaps:") && !s.config.TLS.StartTLS {
		return nil
	}
	for _, file := range [][2]string{{"LDAPTLS_CACERT", s.config.TLS.CAFile}, {"LDAPTLS_CERT", s.config.TLS.CertFile}, {"LDAPTLS_KEY", s.config.TLS.KeyFile}} {
		if file[1] != "" {
			parts = append(parts, file[0]+"="+quoted(file[1]))
		}
	}
	return parts
}

// pasteableIdentity signs in as bind does.
func (s *source) pasteableIdentity() []string {
	switch {
	case s.config.BindDN != "":
		return []string{"-x", "-D", quoted(s.config.BindDN), "-w", `"$LDAPPASSWORD"`}
	case s.config.Kerberos.KeytabFile != "":
		return []string{"-Y", "GSSAPI", "-O", "maxssf=0"}
	case s.config.TLS.CertFile != "":
		return []string{"-Y", "EXTERNAL"}
	}
	return []string{"-x"}
}

// pasteableControl is what -E takes for a control, "" for one that it has no word for.
func (s *source) pasteableControl(c ldap.Control) string {
	switch c := c.(type) {
	case *ldap.ControlPaging:
		return fmt.Sprintf("pr=%d/noprompt", c.PagingSize)
	case *ldap.ControlSyncRequest:
		mode := map[ldap.ControlSyncRequestMode]string{ldap.SyncRequestModeRefreshOnly: "!sync=ro", ldap.SyncRequestModeRefreshAndPersist: "!sync=rp"}[c.Mode]
		return mode + behindSlash(string(c.Cookie))
	case *ldap.ControlDirSync:
		return fmt.Sprintf("!dirSync=%d/%d", c.Flags, c.MaxAttrCount) + behindSlash(base64.StdEncoding.EncodeToString(c.Cookie))
	}
	return map[string]string{domainScope: "domainScope", showDeleted: "!showDeleted"}[c.GetControlType()]
}

func behindSlash(text string) string {
	if text == "" {
		return ""
	}
	return "/" + text
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
