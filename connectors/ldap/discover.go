package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Discovered is what a server says of itself to everybody.
type Discovered struct {
	// Type is the type of [Config] that fits, "" when the server does not say what it is.
	Type string
	// NamingContexts are where its entries are, the default one first.
	NamingContexts []string
}

// discoverTimeout is how long a server may take to say what it is.
const discoverTimeout = 5 * time.Second

// Discover asks the server at address ("ldaps://ldap.example") what it is, without signing in.
func Discover(ctx context.Context, address string) (Discovered, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	conn, err := ldap.DialURL(address, ldap.DialWithDialer(&net.Dialer{Timeout: discoverTimeout}))
	if err != nil {
		return Discovered{}, fmt.Errorf("connect to %s: %w", address, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	conn.SetTimeout(discoverTimeout)
	return discover(conn, address)
}

func discover(conn *ldap.Conn, address string) (Discovered, error) {
	root, err := readRoot(conn)
	if err != nil {
		return Discovered{}, fmt.Errorf("ask %s: %w", address, err)
	}
	return Discovered{Type: typeOf(root), NamingContexts: contexts(root)}, nil
}

// readRoot reads what the server says of itself (RFC 4512, 5.1).
func readRoot(conn *ldap.Conn) (*ldap.Entry, error) {
	found, err := conn.Search(rootRequest())
	if err != nil {
		return nil, err
	}
	if len(found.Entries) != 1 {
		return nil, errors.New("no answer")
	}
	return found.Entries[0], nil
}

func rootRequest() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)",
		[]string{"objectClass", "namingContexts", "defaultNamingContext", "supportedCapabilities", "supportedControl", "vendorName",
			"dsServiceName", "highestCommittedUSN"}, nil)
}

// activeDirectory is LDAP_CAP_ACTIVE_DIRECTORY_OID (MS-ADTS 3.1.1.3.4.3).
const activeDirectory = "1.2.840.113556.1.4.800"

func typeOf(root *ldap.Entry) string {
	vendor := strings.ToLower(root.GetAttributeValue("vendorName"))
	switch {
	case slices.Contains(root.GetAttributeValues("supportedCapabilities"), activeDirectory):
		return "active-directory"
	case slices.Contains(root.GetAttributeValues("objectClass"), "OpenLDAProotDSE"):
		return "openldap"
	case strings.Contains(vendor, "389"):
		return "389ds"
	case strings.Contains(vendor, "novell"), strings.Contains(vendor, "netiq"):
		return "edirectory"
	case strings.Contains(vendor, "lotus"), strings.Contains(vendor, "domino"):
		return "domino"
	}
	return ""
}

// contexts are the places of people's entries: the default one where the server names it.
func contexts(root *ldap.Entry) []string {
	if d := root.GetAttributeValue("defaultNamingContext"); d != "" {
		return []string{d}
	}
	return root.GetAttributeValues("namingContexts")
}
