// Package mail sends text to people over SMTP: PINs that were made for them, and what became of a run.
//
// It promises:
//
//   - A message that [Session.Send] returns nil for was accepted by the server. One that fails with [ErrRefused] would be
//     refused again; any other error is worth another try.
//   - With security "starttls" or "tls" nothing leaves unless the connection is encrypted and the server's certificate is
//     good. A password never leaves unencrypted but to this very machine.
//   - No error and no log line shows what a message says.
//
// # Design
//
// The library is wneessen/go-mail, the maintained one of the kind: it authenticates with whatever the server offers and tells
// which recipient was refused. It is seen in this package only.
package mail
