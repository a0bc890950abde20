// Package ldap reads people out of LDAP directories: Active Directory, OpenLDAP, 389 Directory Server, eDirectory, Domino,
// Google Secure LDAP, and any other that follows RFC 4511.
//
//	corp:
//	  kind: ldap
//	  type: openldap
//	  servers: [ldaps://ldap1.example, ldaps://ldap2.example]
//	  bind_dn: cn=reader,dc=example,dc=com
//	  bind_password_file: /run/secrets/corp
//	  base_dns: ["ou=people,dc=example,dc=com"]
//
// A pass is whole when the server said so for every page of every base: a SearchResultDone with success and, where pages
// were asked for, the paging control with an empty cookie. Limits, referrals in place of entries, silence, a cut
// connection and a cancelled context are errors (failures 1 to 3). Password attributes are never asked for, and stripped
// where "*" lets a server send them (U21).
//
// Servers that are not named are those that DNS names for the domain of the first base (SRV records), and only hosts inside that domain:
// whoever can forge DNS cannot name a server of his own. Signing in is simple (a DN, user@domain, DOMAIN\user), by client certificate, or
// by Kerberos with a keytab. A password travels encrypted, or to this machine, or where allow_plaintext says so; what Kerberos signs in for
// too, because go-ldap negotiates no signing of its own (RFC 4752, 3.3): TLS does that here.
//
// Groups are read first and are records of kind group (member, uniqueMember, memberUid and their DN), where the rules by
// membership or the selection name their bases; an entry that is a group is nobody's account, whatever the filter says.
// A selected group that is not there fails a whole pass: it would select nobody.
//
// What changed is read, deletions included, in the best way that the server offers; rollcall check says which one, and why not a
// better one:
//
//   - syncrepl (RFC 4533) on OpenLDAP and 389 Directory Server;
//   - dirsync on Active Directory and Samba, for ordinary accounts;
//   - usn: uSNChanged of one domain controller;
//     an account that sees nobody in CN=Deleted Objects, as ordinary ones do not, reads everybody's key beside either to learn who is gone;
//   - poll: the times of change that entries carry (with an overlap), and everybody's key for who is gone;
//   - full: everything in every run.
//
// A checkpoint that cannot be trusted (another scope, another server, a restored or lagging one, another domain of the same name, a cookie
// that the server refuses) asks for a whole run.
//
// Found by the next whole run only (reconcile_every): accounts whose accountExpires passed without a change, people below
// entries that are no containers when these are renamed, and, with OpenLDAP, members that refer to the name of somebody deleted whose name
// somebody else has got. So is what a restored server forgot, where nothing shows that it was restored: OpenLDAP whose entry last seen to
// change was made after the backup or is gone since, a domain controller whose files were copied back and written beyond the old USN, and
// any server that is polled.
//
// # Design
//
// Incremental passes emit whole records, never partial ones. OpenLDAP's refresh brings whole entries. DirSync tells only what of an entry
// changed, 389 Directory Server leaves operational attributes out and does not say who left the filter: whoever they mention is
// read again by key, with filter and bases evaluated by the server. That costs a search for 200 changes and saves merging.
//
// A full pass reads pages, with the cookie of the moment before: a refresh of the base's own entry, and a DirSync that no entry matches,
// return one that is good for all. Containers have a refresh of their own, because a renamed one moves all that is below it without a word.
//
// Without refreshDeletes, OpenLDAP means that whoever was not mentioned is gone (the pass is then a whole one), and 389
// Directory Server that only the mentioned changed. An empty cookie means that the last one still holds. A killed slapd forgets which
// changes it has to tell of until the next one is made, so that it is asked whether it holds newer ones.
//
// A server says of whatever changed outside a scope that it is gone from it. Where people and groups are read, who is said to be gone is
// therefore looked up in both. Groups of people who changed are read again, because a new name in member is not called a change.
//
// A keytab needs no krb5.conf: the LDAP server is asked for tickets too, as every domain controller gives them. gokrb5 knows no
// contexts, so a KDC that is silent holds a cancelled pass for its own five seconds.
//
// Entries are decoded below go-ldap. [tap] lies between the connection (above TLS) and go-ldap, cuts search entries
// and references out of the byte stream and hands them over one by one; go-ldap keeps bind, requests, controls
// and results. go-ldap's own decoding needs five to seven times the processor time, and its paging helper keeps the whole
// directory in memory. An entry costs one string for its message and slices that are used again.
//
// Pages have 5000 entries, or 1000 on Active Directory, which allows no more. References (RFC 4511, 4.1.10) are never
// followed: they are reported once.
//
// A live source is signed in twice: on one connection the server tells that something changed (refreshAndPersist, no attributes), on the other
// an ordinary incremental pass finds out what. So live and scheduled reading are one code path, a burst becomes few passes, and a slow pipeline
// holds no connection up on which the server waits. A pass does not begin where the last one ended: in three of four bursts with 30
// deletions, refreshes in the middle of writing returned a cookie past a deletion that they did not tell (slapd seems to announce a change
// before it is in the session log). It begins at a cookie from 50 ms before, and tells some changes twice. Where the server does not tell by
// itself, passes are made every poll_every; those that tell who is there are compared with the one before ([roll]), because a session may be
// whole in its first mark only.
package ldap
