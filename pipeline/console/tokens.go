package console

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"rollcall/connectors"
)

const (
	// tokenFile is the file's name in the data directory.
	tokenFile = "console.token"
	// everybody is the name of a token that has none of its own.
	everybody = "console"
	// shortest is how many characters a token has at least.
	shortest = 20
)

// holderName is a name that a token may have.
var holderName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]{0,63}$`)

// holder is somebody who may sign in.
type holder struct {
	name string
	// digest is of the token, session the key of his sessions.
	digest  [sha256.Size]byte
	session []byte
}

// tokens are all holders.
type tokens []holder

// openTokens reads the tokens, and makes one where the configuration names no file and there is none yet.
func openTokens(c *Config, log zerolog.Logger) (tokens, error) {
	path := c.TokenFile
	if path == "" {
		path = filepath.Join(c.DataDir, tokenFile)
		made, err := makeToken(path)
		if err != nil {
			return nil, fmt.Errorf("console token: %w", err)
		}
		log.Info().Str("file", path).Bool("new", made).Msg("the token for the console is in this file")
	}
	all, err := readTokens(path)
	if err != nil {
		return nil, connectors.Hint(fmt.Errorf("console.token_file: %w", err), `a line "alice TOKEN" for each person, or TOKEN alone: openssl rand -hex 20`)
	}
	return all, nil
}

// makeToken writes a new token unless the file is there.
func makeToken(path string) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintln(f, rand.Text())
	return true, errors.Join(err, f.Close())
}

func readTokens(path string) (all tokens, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, connectors.Hint(fmt.Errorf("everybody may read the secret in %s (mode %04o)", path, info.Mode().Perm()), "chmod o-rwx "+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		one, err := newHolder(fields)
		if err == nil && slices.ContainsFunc(all, one.clashes) {
			err = fmt.Errorf("the name %s, or its token, is there already", one.name)
		}
		if err != nil { // the line itself is a secret
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no token", path)
	}
	return all, nil
}

// newHolder reads the words of a line.
func newHolder(fields []string) (h holder, err error) {
	token := fields[len(fields)-1]
	h.name = everybody
	switch {
	case len(fields) > 2:
		return h, errors.New("more than a name and a token")
	case len(token) < shortest:
		return h, fmt.Errorf("the token has less than %d characters", shortest)
	case len(fields) == 2:
		h.name = fields[0]
	}
	if !holderName.MatchString(h.name) {
		return h, errors.New("the name has more than letters, digits and . _ @ -")
	}
	h.digest = sha256.Sum256([]byte(token))
	h.session, err = hkdf.Key(sha256.New, []byte(token), nil, "rollcall console 1: session of "+h.name, sha256.Size)
	return h, err
}

func (h *holder) clashes(other holder) bool { return h.name == other.name || h.digest == other.digest }

// of returns whose token it is, nil for nobody's. It takes the same time for every token.
func (t tokens) of(token string) (found *holder) {
	digest := sha256.Sum256([]byte(token))
	for i := range t {
		if subtle.ConstantTimeCompare(digest[:], t[i].digest[:]) == 1 {
			found = &t[i]
		}
	}
	return found
}

// named returns the holder of that name, nil for nobody.
func (t tokens) named(name string) *holder {
	for i := range t {
		if t[i].name == name {
			return &t[i]
		}
	}
	return nil
}
