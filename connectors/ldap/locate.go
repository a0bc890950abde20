package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// addresses returns the URLs to try, in order. One without a host stands for the servers that DNS names.
func (s *source) addresses(ctx context.Context) ([]string, error) {
	var all []string
	for _, server := range s.config.servers() {
		u, err := url.Parse(server)
		if err != nil {
			return nil, err
		}
		if u.Hostname() != "" {
			all = append(all, server)
			continue
		}
		located, err := s.locate(ctx, u)
		if err != nil {
			return nil, err
		}
		all = append(all, located...)
	}
	return all, nil
}

// servers are the configured addresses. Active Directory's need not be given: its domain names them.
func (c *Config) servers() []string {
	switch {
	case len(c.Servers) > 0 || c.Type != "active-directory":
		return c.Servers
	case c.TLS.StartTLS:
		return []string{"ldap://"}
	}
	return []string{"ldaps://"}
}

// locate asks DNS for the servers of the domain (RFC 2782; MS-ADTS 6.3.2.3), by priority and weight. The port is the URL's,
// else the one for TLS, else the one that DNS says.
func (s *source) locate(ctx context.Context, u *url.URL) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	domain := s.config.searchDomain()
	var failures []error
	for _, owner := range s.config.owners(domain, isCatalogue(u.Port())) {
		_, found, err := s.config.resolver().LookupSRV(ctx, "", "", owner+".")
		if err == nil && len(found) > 0 {
			return s.config.located(u, domain, found)
		}
		failures = append(failures, err)
	}
	if ctx.Err() != nil {
		failures = []error{context.Cause(ctx)}
	}
	return nil, connectors.Hint(fmt.Errorf("%w: DNS names no servers of %s: %w", connectors.ErrUnreachable, domain, errors.Join(failures...)),
		"name them in servers, or the domain's own DNS server as dns_server")
}

// owners are the names that DNS keeps the domain's servers under. Global catalogues are the forest's: the domain must be its root.
func (c *Config) owners(domain string, catalogue bool) []string {
	switch {
	case c.Type != "active-directory":
		return []string{"_ldap._tcp." + domain}
	case catalogue:
		return []string{"_gc._tcp." + domain}
	}
	return []string{"_ldap._tcp.dc._msdcs." + domain, "_ldap._tcp." + domain}
}

// located are the URLs of the servers found. One outside the domain is not used: whoever can forge an answer of DNS could
// name a server of his own, with a good certificate for it, and be told the password.
func (c *Config) located(u *url.URL, domain string, found []*net.SRV) ([]string, error) {
	var servers, strangers []string
	for _, at := range found {
		host := strings.ToLower(strings.TrimSuffix(at.Target, "."))
		port := u.Port()
		if port == "" && u.Scheme == "ldap" {
			port = fmt.Sprint(at.Port)
		}
		switch {
		case !strings.HasSuffix(host, "."+strings.ToLower(domain)):
			strangers = append(strangers, host)
		case port == "":
			servers = append(servers, u.Scheme+"://"+host)
		default:
			servers = append(servers, u.Scheme+"://"+net.JoinHostPort(host, port))
		}
	}
	if len(servers) == 0 {
		return nil, connectors.Hint(fmt.Errorf("%w: DNS names as servers of %s only hosts outside of it, which are not trusted: %s", connectors.ErrUnreachable, domain, strings.Join(strangers, ", ")),
			"if they are right, name them in servers")
	}
	return servers, nil
}

// searchDomain is the domain whose servers are looked for: the dc= parts of the first base (RFC 2247), else domain.
func (c *Config) searchDomain() string {
	for _, base := range c.BaseDNs {
		dn, err := ldap.ParseDN(base)
		if err != nil {
			continue
		}
		var labels []string
		for _, rdn := range slices.Backward(dn.RDNs) {
			if len(rdn.Attributes) != 1 || !strings.EqualFold(rdn.Attributes[0].Type, "dc") {
				break
			}
			labels = append(labels, rdn.Attributes[0].Value)
		}
		if slices.Reverse(labels); len(labels) > 0 {
			return strings.Join(labels, ".")
		}
	}
	return c.Domain
}

// resolver is the system's, or one that asks dns_server.
func (c *Config) resolver() *net.Resolver {
	if c.DNSServer == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, withPort(c.DNSServer, "53"))
	}}
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

// isCatalogue reports whether the port is that of Active Directory's global catalogue.
func isCatalogue(port string) bool { return port == "3268" || port == "3269" }

// validateLocation refuses addresses without a host where nothing says which domain's servers are meant.
func (c *Config) validateLocation() error {
	if c.searchDomain() != "" || !slices.ContainsFunc(c.servers(), func(server string) bool {
		u, err := url.Parse(server)
		return err == nil && u.Hostname() == ""
	}) {
		return nil
	}
	return connectors.Hint(errors.New("servers: neither a host nor, in base_dns, a domain whose servers DNS could name is given"),
		`base_dns: ["dc=corp,dc=example"], or servers: [ldaps://ldap.example.com]`)
}

// checkServers says which servers DNS names, nothing when they are configured.
func (s *source) checkServers(ctx context.Context) []string {
	named, err := s.addresses(ctx)
	if err != nil || slices.Equal(named, s.config.Servers) {
		return nil
	}
	return []string{"DNS names the servers of " + s.config.searchDomain() + ": " + strings.Join(named, ", ")}
}
