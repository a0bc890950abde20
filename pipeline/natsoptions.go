package pipeline

import (
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

const connectHint = "is the server running, and are nats.url, the user and the certificates under nats right?"

// Options are how the client signs in to an external server. Whoever signs in by name gets answers below _INBOX.<name> only, so
// that the server can keep others from reading them.
func (c NATS) Options() (options []nats.Option, err error) {
	if c.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.User != "" {
		password, err := readPassword(c.PasswordFile)
		if err != nil {
			return nil, err
		}
		options = append(options, nats.UserInfo(c.User, password), nats.CustomInboxPrefix("_INBOX."+c.User))
	}
	if c.CAFile != "" {
		options = append(options, nats.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		options = append(options, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	return options, nil
}

// readPassword reads a password from a file, "" from none.
func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("nats.password_file: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
