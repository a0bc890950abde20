// Package graphtest is Microsoft Graph and its sign-in service on a loopback port: a directory of
// users and groups that a test changes, read through delta rounds, over TLS, with tokens, throttling and
// every fault that the real service is known for.
//
// It is stateful: what a delta round reports follows from what was done to the
// [Directory] since the token in the link was made. It keeps to what Microsoft documents:
//
//   - at most 200 objects a page; an empty page may carry a nextLink; exactly one of nextLink and deltaLink
//   - tokens are opaque, carry their query, live seven days and can be used again
//   - a later round returns all selected properties of a changed object; properties that were never set are
//     absent, cleared ones are null; only selected properties are tracked
//   - members and managers come as ids with @delta; a large group comes in several entries
//   - a deleted object comes as @removed, "changed" while it can be restored and "deleted" after that; its
//     memberships are not reported
//   - an expired token is 410 with a Location or 400 with syncStateNotFound; a resync reports no removals
//   - a retry before Retry-After has passed is punished by another wait
//
// Time is the server's own: [Server.Advance] lets it pass, so a test of seven days takes none.
//
// # Design
//
// The state of a round is in its token (sealed, so that nobody is tempted to read it) and not in the server,
// as with the real service: the server can answer any link in any order and as often as it is asked. The order of objects
// within a round is their order of creation or of change; [Options.Repeat] and [Options.Shuffle] disturb it.
// To keep the emulator honest, the samples of Microsoft's documentation are inputs of the connector's tests beside it,
// and property names are checked against the published ones: a name that does not exist is refused as
// Graph refuses it.
package graphtest
