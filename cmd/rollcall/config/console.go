package config

import (
	"net"

	"rollcall/pipeline/console"
)

type consoleSection struct {
	Listen         string     `yaml:"listen"`
	TokenFile      string     `yaml:"token_file"`
	TLS            consoleTLS `yaml:"tls"`
	AllowPlaintext bool       `yaml:"allow_plaintext"`
}

type consoleTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// check notes an address that is none, and one at which tokens could be listened to.
func (c *consoleSection) check(d *decoder) {
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		d.at("console.tls", "console.tls: cert_file and key_file go together", "both, or none")
	}
	if c.Listen == "" {
		return
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		d.at("console.listen", "console.listen: "+quote(c.Listen)+" is no host:port", "127.0.0.1:8440")
		return
	}
	if composed := c.compose(""); composed.Exposed() && !c.AllowPlaintext {
		d.at("console.listen", console.ErrExposed.Error(), console.ExposedHint)
	}
}

func (c *consoleSection) compose(dataDir string) console.Config {
	return console.Config{Listen: c.Listen, TokenFile: c.TokenFile, DataDir: dataDir, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		AllowPlaintext: c.AllowPlaintext}
}
