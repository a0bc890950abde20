package csv

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"rollcall/connectors"
)

// Config is the configuration of a CSV source.
type Config struct {
	// Path is the file's, absolute or relative to the working directory.
	Path string `yaml:"path"`
	// Paths are several files' instead, which are one source: each is proven whole on its own, and a key is unique over all of them.
	Paths []string `yaml:"paths"`
	// Delimiter is "auto" (also ""), "tab", or one ASCII character.
	Delimiter string `yaml:"delimiter"`
	// Encoding is "auto" (also "") or a name from the IANA registry of character sets.
	Encoding string `yaml:"encoding"`
	// NoHeader is true for a file without a line of names: the 15 columns in their order (V2).
	NoHeader bool `yaml:"no_header"`
	// Key is the column that identifies a row; "" for EXTID where filled, else the user name (V3).
	Key string `yaml:"key"`
	// AllowEmpty is true when a file with a header and no rows is an empty source and no mistake.
	AllowEmpty bool `yaml:"allow_empty"`
	// AllowOpenEnd is true when a last line without a line end is taken as whole.
	AllowOpenEnd bool `yaml:"allow_open_end"`
}

// Kind returns "csv".
func (c *Config) Kind() string { return "csv" }

// Scope names files, header mode and key column: what decides who is in the source.
func (c *Config) Scope() string {
	paths := fmt.Sprintf("path=%q", filepath.ToSlash(filepath.Clean(c.Path)))
	if c.Path == "" {
		paths = fmt.Sprintf("paths=%q", c.cleanPaths())
	}
	return fmt.Sprintf("csv %s no_header=%t key=%q", paths, c.NoHeader, canonical(c.Key))
}

// cleanPaths returns the paths in one spelling, sorted.
func (c *Config) cleanPaths() []string {
	clean := make([]string, len(c.Paths))
	for i, path := range c.Paths {
		clean[i] = filepath.ToSlash(filepath.Clean(path))
	}
	slices.Sort(clean)
	return clean
}

// checkPaths returns what is wrong with path and paths.
func (c *Config) checkPaths() error {
	switch clean := c.cleanPaths(); {
	case c.Path == "" && len(c.Paths) == 0:
		return connectors.Hint(errors.New("path is missing"), "Try path: people.csv")
	case c.Path != "" && len(c.Paths) > 0:
		return connectors.Hint(errors.New("paths: there is a path too"), "Try paths alone, with all files.")
	case slices.Contains(c.Paths, ""):
		return connectors.Hint(errors.New("paths: one of them is empty"), "Try paths: [staff.csv, students.csv]")
	case len(slices.Compact(slices.Clone(clean))) < len(clean):
		return connectors.Hint(errors.New("paths: a file stands there twice"), "Try to remove one of them.")
	}
	return nil
}

// Validate returns every mistake in the configuration; it does not look at the file.
func (c *Config) Validate() error {
	var all []error
	if err := c.checkPaths(); err != nil {
		all = append(all, err)
	}
	if _, _, err := c.comma(); err != nil {
		all = append(all, err)
	}
	if _, err := namedEncoding(c.Encoding); err != nil {
		all = append(all, err)
	}
	if key := canonical(c.Key); c.NoHeader && key != "" && positional(key) == 0 {
		all = append(all, connectors.Hint(fmt.Errorf("key: %s is no column of a file without a header", c.Key), "Try key: EXTID"))
	}
	if key := canonical(c.Key); secret(key) {
		all = append(all, connectors.Hint(fmt.Errorf("key: %s holds secrets, and keys are not secret", c.Key), "Try key: EXTID"))
	}
	return errors.Join(all...)
}

// Open returns a connector for the files. They are opened by each pass.
func (c *Config) Open(env connectors.Env) (connectors.Connector, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open source %s: %w", env.Source, err)
	}
	return &source{config: *c, wanted: env.Attributes, known: map[string]known{}}, nil
}

// comma returns the configured delimiter; auto is true when it is to be found out.
func (c *Config) comma() (comma byte, auto bool, err error) {
	switch d := c.Delimiter; {
	case d == "" || strings.EqualFold(d, "auto"):
		return 0, true, nil
	case strings.EqualFold(d, "tab") || d == `\t`:
		return '\t', false, nil
	case len(d) == 1 && d[0] < utf8.RuneSelf && !strings.Contains("\"\r\n\x00", d):
		return d[0], false, nil
	}
	return 0, false, connectors.Hint(fmt.Errorf("delimiter: %q is no delimiter", c.Delimiter), `Try delimiter: auto, ";", "," or tab.`)
}
