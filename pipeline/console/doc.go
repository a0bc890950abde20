// Package console is the operator's web page and HTTP API: how the pipeline stands, its runs and plans, its users, and the
// commands that a person gives about them.
//
// It promises:
//
//   - Nothing but the sign-in page and the style sheet is shown to whoever has not signed in.
//   - What the API answers is what the command line prints with --json, byte for byte.
//   - A plan is approved by its hash, the one that stood on the page: another plan is refused, and why is shown.
//   - Whatever comes from a directory is text: it can neither be markup nor turn the letters around it.
//   - No PIN is shown, no token logged. Who gave a command is recorded by the name of his token.
//   - A token is not sent in plaintext beyond this machine unless the configuration says so.
//
// # Design
//
// It is a client like the command line ([pipeline.Client]): it has no store, decides nothing and can run in any process, several times.
// What the reconciler answers is all it knows, so while nobody leads it says just that.
//
// Pages are templates and forms without a script. What moves is loaded again by the browser (a refresh in the page), which
// needs no connection of its own and works the same behind every proxy. A page with something to tick is not: a dry run must not lose its tick.
//
// A session is a signed cookie and not an entry in a table: the key derives from the token that it was signed in with, so every console with
// the same tokens takes it, none has to remember it, and it ends with the token, or after 12 hours. Signing out takes the cookie
// away; who copied it before keeps it until then.
//
// Tokens stand in a file, a line for each person ("alice 3Q…"), so that the log can say who it was; a line that is only a token is everybody's,
// under the name "console". Five wrong ones lock an address for 15 minutes, counted by each process. Behind a proxy all
// callers have its address: let the proxy sign people in as well, or limit them.
//
// Forms carry no secret of their own against other sites: browsers say where a request comes from, the cookie is SameSite=Strict, and
// what another site sends is refused ([net/http.CrossOriginProtection]).
package console
