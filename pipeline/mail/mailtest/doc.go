// Package mailtest is a mail server for tests: it listens on loopback, keeps what it is given and refuses whom it is told to.
package mailtest
