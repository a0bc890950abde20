// Package ldap is a placeholder until branch ldap is merged.
package ldap

import (
	"errors"

	"rollcall/connectors"
)

type Config struct {
	Type             string   `yaml:"type"`
	Servers          []string `yaml:"servers"`
	TLS              TLS      `yaml:"tls"`
	AllowPlaintext   bool     `yaml:"allow_plaintext"`
	BindDN           string   `yaml:"bind_dn"`
	BindPassword     string   `yaml:"bind_password"`
	BindPasswordFile string   `yaml:"bind_password_file"`
	BaseDNs          []string `yaml:"base_dns"`
	Filter           string   `yaml:"filter"`
	Key              string   `yaml:"key"`
}

type TLS struct {
	CAFile     string `yaml:"ca_file"`
	StartTLS   bool   `yaml:"start_tls"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

func (c *Config) Kind() string    { return "ldap" }
func (c *Config) Scope() string   { return c.Filter }
func (c *Config) Validate() error { return nil }
func (c *Config) Open(connectors.Env) (connectors.Connector, error) {
	return nil, errors.New("placeholder")
}
