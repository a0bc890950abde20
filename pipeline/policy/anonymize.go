package policy

import (
	"fmt"

	"rollcall/store"
)

// Anonymize makes an inactive user anonymous for good (U22): what is left is a tombstone under the user's id, and of his
// entries the hashes of their keys, by which a run knows them and leaves them alone.
func (h Hand) Anonymize(id string) (*Deed, error) {
	deed, err := h.edit(id, func(e *edit) {
		if e.old.Active {
			e.refuse(Reject, nameOf(e.old)+" is active [U22]", "rollcall users deactivate "+nameOf(e.old))
			return
		}
		e.new = tombstoneOf(e.old)
		e.lasting = ^store.PropertySet(0)
	})
	if err != nil || deed.User == nil {
		return deed, err
	}
	deed.Event, deed.Changed, deed.Name = "anonymized", nil, nameOf(deed.User)
	for _, ref := range deed.User.Origins {
		deed.Entries = append(deed.Entries, SourceOrigin{ref.Source, tombstone(ref.Key, id)})
	}
	return deed, nil
}

// tombstoneOf returns what is left of a user.
func tombstoneOf(u *store.User) *store.User {
	left := &store.User{ID: u.ID, Revision: u.Revision, InactiveReason: u.InactiveReason, Anonymized: true, Origins: u.Origins, Created: u.Created, Updated: u.Updated}
	left.Text[store.UserName] = "anonymous-" + u.ID
	left.Text[store.FullName] = left.Text[store.UserName]
	return left
}

// anonymousReason is why an entry is nobody's whose user was made anonymous.
const anonymousReason = "its user was made anonymous [U22]"

// tombstone is what is left of an anonymous user's entry.
func tombstone(key store.Key, user string) *store.Origin {
	return &store.Origin{Key: key.String(), Tombstone: true, Gone: true, Digest: store.TombstoneDigest(), User: user,
		Verdict: fmt.Sprintf("%s: %s", Ignore, anonymousReason)}
}
