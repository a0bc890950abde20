package config

import (
	"net/mail"

	pipelinemail "rollcall/pipeline/mail"
)

type mailSection struct {
	Server       string `yaml:"server"`
	Port         int    `yaml:"port"`
	Security     string `yaml:"security"`
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	CAFile       string `yaml:"ca_file"`
	From         string `yaml:"from"`
}

type notify struct {
	When string   `yaml:"when"`
	To   []string `yaml:"to"`
}

// checkMail notes what would keep mail from leaving, or from arriving.
func (f *file) checkMail(d *decoder) {
	d.oneOf("mail.security", f.Mail.Security, "starttls", "tls", "none")
	d.oneOf("notify.when", f.Notify.When, "never", "on-error", "always")
	if f.Notify.When != "never" && len(f.Notify.To) > 0 && f.Mail.Server == "" {
		d.at("notify.to", "notify.to has addresses and mail.server is not given", "mail: {server: smtp.example}")
	}
	if f.PINs.SendEmail && f.Mail.Server == "" {
		d.at("pins.send_email", "pins.send_email is on and mail.server is not given", "mail: {server: smtp.example}")
	}
	if f.Mail.Server != "" && f.Mail.From == "" {
		d.at("mail.server", "mail.from is missing: mail has a sender", "from: rollcall@example.com")
	}
	if f.Mail.User != "" && f.Mail.PasswordFile == "" {
		d.at("mail.user", "mail.user signs in with the password in mail.password_file, which is not given", "password_file: /run/secrets/mail")
	}
	if f.Mail.Port < 1 || f.Mail.Port > 65535 {
		d.at("mail.port", "mail.port is no port", "587")
	}
	checkAddress(d, "mail.from", f.Mail.From)
	for i, to := range f.Notify.To {
		checkAddress(d, index("notify.to", i), to)
	}
}

func checkAddress(d *decoder, path, address string) {
	if _, err := mail.ParseAddress(address); address != "" && err != nil {
		d.at(path, path+": "+quote(address)+" is no e-mail address", "rollcall@example.com")
	}
}

// server returns where mail leaves.
func (m *mailSection) server() pipelinemail.Server {
	return pipelinemail.Server{Host: m.Server, Port: m.Port, Security: m.Security, User: m.User, PasswordFile: m.PasswordFile, CAFile: m.CAFile, From: m.From}
}
