// Package ldaptest starts real directory servers for tests, and one that follows a script: in temporary folders, on random
// addresses of loopback, stopped by their process ids. A server that is not installed fails the test when CI is set and
// skips it, loudly, elsewhere.
package ldaptest
