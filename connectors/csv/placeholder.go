// Package csv is a placeholder until branch csv is merged.
package csv

import (
	"errors"

	"rollcall/connectors"
)

type Config struct {
	Path      string `yaml:"path"`
	Delimiter string `yaml:"delimiter"`
	Encoding  string `yaml:"encoding"`
	NoHeader  bool   `yaml:"no_header"`
	Key       string `yaml:"key"`
}

func (c *Config) Kind() string    { return "csv" }
func (c *Config) Scope() string   { return c.Path }
func (c *Config) Validate() error { return nil }
func (c *Config) Open(connectors.Env) (connectors.Connector, error) {
	return nil, errors.New("placeholder")
}
