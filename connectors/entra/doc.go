// Package entra reads the users and groups of a Microsoft Entra ID tenant through Microsoft Graph.
//
//	cloud:
//	  kind: entra
//	  cloud: public                  # us-government, us-dod, china; custom with authority and graph_url
//	  tenant_id: 8f6b…
//	  client_id: 41c2…
//	  client_secret_file: /run/secrets/entra
//	  # certificate_file: /run/secrets/entra.pfx      PEM or PFX, RSA; read again when it changes
//	  # certificate_password_file: /run/secrets/entra.password
//	  # workload_identity: /var/run/secrets/azure/tokens/azure-identity-token
//	  # managed_identity: true       client_id only for a user-assigned one
//	  proxy: ""                      # http://proxy:3128, for the sign-in and for Graph
//	  ca_file: ""
//	  reconcile_every: 24h
//	  select:
//	    groups: [Printing, 0a1b…]    # names or ids; none: all users
//	    nested: true
//	    guests: false                # userType Guest or #EXT# in the user principal name
//
// A full pass is a first delta round, an incremental pass the round after the checkpoint's deltaLink; only a new
// deltaLink proves the end of either. An empty page, or any page with a nextLink, is not the end; a link that leads
// elsewhere than to Graph, or in circles, ends the pass. Expiry of the link's token (410, or 400 with one of its codes, at
// any page) is [connectors.ErrCheckpointExpired]. It is no error in a first round to be told to begin anew: it is
// an incomplete one, so a tenant that answers 410 forever cannot make anyone loop.
//
// # Records
//
// A user's key is the object id. Attributes are what Graph said: texts, "true" and "false", numbers digit by digit, arrays
// as sorted values, complex properties flattened with dots (onPremisesExtensionAttributes.extensionAttribute1).
// An explicit null is an attribute without values; in a full pass so is every attribute asked for that
// Graph leaves out, because it was never set. In an incremental pass what Graph leaves out is left out, and
// the record is Partial, unless createdDateTime says that the user is newer than the checkpoint. manager is the manager's
// object id; his name and mail stand in his own record, where the pipeline finds them (manager.displayName in a mapping). upnPrefix and
// onPremisesSamAccountName@onPremisesDomainName are made of the properties they name.
//
// Graph does not tell of those below a manager that he was deleted: what comes from his record goes with it, his id in manager with the
// next whole run.
//
// A group's members are the attribute members in a full pass; in an incremental one members@delta holds only the
// changes, each id with "+" or "-" before it. Group records are emitted when the configuration uses members or memberOf.
//
// Graph may tell of an object more than once in a round, so both kinds of passes may emit a user twice, and a full
// pass may emit a user and then a Deleted record for him: the last record counts. Graph promises only "at least" what has changed: where
// it tells too little to make a record (not whether the account is enabled, a second part of a user's changes, a part in a
// first round), the connector asks for the whole user and lays what was told over it.
//
// # Moving from Active Directory
//
// People who were read from Active Directory stay who they are when Entra ID takes over: same ids, same cards, nobody twice
// (TestTheMoveFromActiveDirectoryToEntra in package pipeline does this):
//
//  1. Add the tenant as a further source, with ignore_synchronization_source: true and add_new_users: false, and list the old source
//     before it in precedence. People are told to be the same by personal number (pair_by_personal_number: true, and personal_number from
//     the attribute that Active Directory gives too, such as employeeId), or by name: user_name: [onPremisesSamAccountName,
//     userPrincipalName], aliases: userPrincipalName.
//  2. rollcall sync cloud --dry-run: whoever it would merge is found. Who is counted ignored is not in the old source, or has no
//     number; rollcall plan and the dry run's changes name them. Map the cards in Entra too: a card that only Active Directory tells
//     goes with it. Cards added by hand stay in any case.
//  3. rollcall sync cloud. Then set add_new_users: true, if people come from Entra only.
//  4. When all is well: enabled: false on the old source, or take it out of the configuration, and rollcall sources retire it. Its users
//     pass to the tenant, which says their properties from the next run on; their names too, so by personal number they are then called
//     by their user principal name (keep_old_name_as_alias: true keeps the old one).
//
// # Errors and waiting
//
// Throttling and passing failures are waited out within the pass: Retry-After to the second and a little more, doubling
// waits where nothing was said. Waiting is logged, never an error, and ends with the context. Nothing that is logged or returned
// holds a token, a secret, an assertion or the query of a link.
//
// # Design
//
// The SDK's generated code is not used. Any import of its root package or of a builder compiles one package of 590,000
// lines: 95 to 130 seconds and a compiler of 4.5 GiB per empty cache, for models that lose data (explicit nulls, large numbers,
// fractions of seconds). What is used are its lower layers: the core's request adapter, kiota's azure authentication and
// models/odataerrors, which cost 30 seconds and 0.3 GiB; bodies are taken as bytes. The package graphmodels beside this
// one, behind a build tag, asserts that our requests are those of the builders. Its result:
//
//	2026-11-26  go test -count 1 -v -tags graphmodels ./connectors/entra/graphmodels/...
//	            msgraph-sdk-go v1.89.0, both tests pass (0.4 s); with compiling and vetting the models 410 s of processor
//	            time (30 minutes where 25 other processes wanted the two cores) and a compiler of 4.7 GB
//
// A quarter of that is vet, which -vet=off leaves out. Names of properties are compared in the usual tests, with the SDK's source (graphtest).
//
// The middleware is an explicit list: the default's order is random and its retry waits without bound. A shield of ours
// stands outermost and turns everything that is not JSON of Graph's (gateway pages, redirects, odd error bodies,
// unquoted claims) into an error the SDK can read; the SDK's remaining panics are recovered.
//
// Whoever was deleted and restored, or was a guest for a while, is told of in part by Graph although the pipeline has no record of him any
// more: such a run becomes a full one.
//
// Selection by groups belongs to the pipeline's policy, which knows the store: with [Selection.Later], which the program sets, the connector
// emits everybody and all groups, incrementally too, and selects nobody; it only sees to it that the groups named are there. Without it the connector
// selects: a full pass reads the groups first (a delta round with members), walks from the selected ones through their members to a
// fixed set, and emits only those users; [connectors.Connector] Present walks again. Such a pass gives no checkpoint, so every run is
// a full one: who enters or leaves cannot be told from the changes alone without knowing who was there before.
//
// Reading 100,000 users of 20 properties takes 2.1 allocations a user and no more processor time than net/http with
// encoding/json into json.RawMessage (BenchmarkRead); the heap in use stays below 1 MiB for 50,000 as for 500,000 users
// (BenchmarkMemory); a round without changes is one request and 0.1 ms of our own (BenchmarkNothingChanged).
//
// Records of repeated objects are not held back until the end of the round, because that would hold the whole directory in memory:
// what is kept per pass is a hash of each link, and the groups where they are read. Guests who become
// members and the other way round appear and disappear in incremental passes; a guest's change is a Deleted record there.
//
// Conditions (where) and disabled_accounts are evaluated after the connector; here they are only part of the scope.
package entra
