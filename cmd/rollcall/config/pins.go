package config

import (
	"cmp"
	"os"
	"time"

	"rollcall/pipeline/policy"
)

type pins struct {
	MinimumLength int           `yaml:"minimum_length"`
	Generate      bool          `yaml:"generate"`
	SendEmail     bool          `yaml:"send_email"`
	KeyFile       string        `yaml:"key_file"`
	Lifetime      string        `yaml:"lifetime"`
	Temporary     temporaryPINs `yaml:"temporary"`
	OnRaise       string        `yaml:"on_raise"`
}

type temporaryPINs struct {
	ValidFor time.Duration `yaml:"valid_for"`
	Groups   []string      `yaml:"groups"`
}

// pinKeyVariable names the key's file where the configuration does not.
const pinKeyVariable = "ROLLCALL_PIN_KEY_FILE"

func (p *pins) check(d *decoder) {
	d.oneOf("pins.lifetime", p.Lifetime, "persistent", "temporary")
	d.oneOf("pins.on_raise", p.OnRaise, "keep", "holders", "all-active")
	if n := p.MinimumLength; n < 4 || n > 16 {
		d.at("pins.minimum_length", "pins.minimum_length is not within 4 and 16", "6")
	}
	if p.Temporary.ValidFor <= 0 {
		d.at("pins.temporary.valid_for", "pins.temporary.valid_for is no time to come", "24h")
	}
}

// rules returns what decides about PINs.
func (p *pins) rules() policy.PINRules {
	r := policy.PINRules{MinimumLength: p.MinimumLength, Generate: p.Generate, Mail: p.SendEmail, OnRaise: p.OnRaise}
	if p.Lifetime == "temporary" {
		r.ValidFor, r.Groups = p.Temporary.ValidFor, p.Temporary.Groups
	}
	return r
}

// pinKeyFile returns where the key is, "" for the data directory.
func (f *file) pinKeyFile() string { return cmp.Or(f.PINs.KeyFile, os.Getenv(pinKeyVariable)) }
