package pipeline

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rollcall/store"
)

// ExportOptions say what is exported.
type ExportOptions struct {
	Query UserQuery
	// Positional leaves the header out and writes the 15 columns of MyQ's file by position.
	Positional bool
	// HashedPINs writes PINs that do not expire as what only the same key reads back.
	HashedPINs bool
	// own asks as the source's worker, who may ask about nothing else.
	own bool
}

// Export writes users as a file that a CSV source reads back (V2, V3, V6): importing it into an empty store gives equal
// users. It returns how many users it wrote. Cards that expire are left out, because a file cannot say when they end. PINs are
// left out unless they are asked for; their column is empty where columns have their position.
func (c *Client) Export(ctx context.Context, w io.Writer, o ExportOptions) (users int, err error) {
	columns := exportColumns(o)
	out := csv.NewWriter(w)
	row := make([]string, len(columns))
	if !o.Positional {
		for i, column := range columns {
			row[i] = column.name
		}
		if err := out.Write(row); err != nil {
			return 0, err
		}
	}
	err = c.exported(ctx, o, func(u *exportedUser) error {
		for i, column := range columns {
			row[i] = column.cell(u)
		}
		users++
		return out.Write(row)
	})
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return users, err
}

// ExportFile writes an export beside path and puts it there when it is complete.
func (c *Client) ExportFile(ctx context.Context, path string, o ExportOptions) (users int, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if users, err = c.Export(ctx, f, o); err != nil {
		return 0, fmt.Errorf("export to %s: %w", path, err)
	}
	if err = f.Close(); err != nil {
		return 0, fmt.Errorf("export to %s: %w", path, err)
	}
	return users, os.Rename(f.Name(), path)
}

// exportedUser is a user with the key of the entry that he comes from, as a CSV file writes it.
type exportedUser struct {
	store.User
	key  string
	pins []string
}

func (c *Client) exported(ctx context.Context, o ExportOptions, fn func(*exportedUser) error) error {
	endpoint := "users.list"
	if o.own {
		endpoint = "store.users." + o.Query.Source
	}
	for after, more := "", true; more; {
		page, err := call[userPage](ctx, c, endpoint, ownUsersRequest{o.Query.Source, usersRequest{Query: o.Query, After: after, Keys: true, PINs: o.HashedPINs}})
		if err != nil {
			return err
		}
		for i, body := range page.Users {
			var u exportedUser
			if err := json.Unmarshal(body, &u.User); err != nil {
				return err
			}
			if u.Anonymized {
				continue // nobody, whom an import would make somebody (U22)
			}
			u.key = externalID(page.Keys[i])
			if o.HashedPINs {
				u.pins = page.PINs[i]
			}
			if err := fn(&u); err != nil {
				return err
			}
		}
		after, more = page.After, page.More
	}
	return nil
}

// externalID is what the column EXTID says of an entry: nothing of one whose key is the user name.
func externalID(key string) string {
	if strings.HasPrefix(key, "name:") {
		return ""
	}
	return strings.TrimPrefix(key, "ext:")
}

// keyOf returns the key of the owner's entry of a user, "" for none.
func keyOf(tx *store.Tx, u *store.User) (string, error) {
	for _, ref := range u.Origins {
		if ref.Source != u.Owner {
			continue
		}
		o, err := tx.Origin(ref.Source, ref.Key)
		if err != nil || o == nil || o.Tombstone {
			return "", err
		}
		return o.Key, nil
	}
	return "", nil
}

type exportColumn struct {
	name string
	cell func(*exportedUser) string
}

// exportColumns returns the columns of an export, in MyQ's order. A file with a header has no column for what is never
// written.
func exportColumns(o ExportOptions) []exportColumn {
	text := func(name string, p store.Property) exportColumn {
		return exportColumn{name, func(u *exportedUser) string { return u.Text[p] }}
	}
	list := func(name string, p store.Property) exportColumn {
		return exportColumn{name, func(u *exportedUser) string { return joinEscaped(nil, u.List[p.List()]) }}
	}
	paths := func(name string, p store.Property) exportColumn {
		return exportColumn{name, func(u *exportedUser) string { return joinPaths(u.List[p.List()]) }}
	}
	never := func(name string) exportColumn { return exportColumn{name, func(*exportedUser) string { return "" }} }
	documented := []exportColumn{
		text("FULLNAME", store.FullName),
		{"USERNAME_ALIASES", func(u *exportedUser) string {
			return joinEscaped([]string{u.Text[store.UserName]}, u.List[store.Aliases.List()])
		}},
		text("EMAIL", store.Email),
		{"CARDS", func(u *exportedUser) string { return joinEscaped(nil, lasting(u.List[store.Cards.List()])) }}, paths("GROUPS", store.Groups), text("CODE", store.PersonalNumber),
		text("SCANSTORAGE", store.UserStorage),
		{"PIN", func(u *exportedUser) string { return strings.Join(u.pins, ",") }}, paths("MANAGED_GROUPS", store.ManagedGroups),
		text("AUTHSERVER", store.AuthenticationServer), text("PHONE", store.Phone), text("LANG", store.DefaultLanguage), never("PWD"),
		{"EXTID", func(u *exportedUser) string { return u.key }},
		paths("DELEGATES", store.Delegates),
	}
	if o.Positional {
		return documented
	}
	kept := documented[:0]
	for _, column := range documented {
		if column.name != "PWD" && (column.name != "PIN" || o.HashedPINs) {
			kept = append(kept, column)
		}
	}
	return append(kept,
		list("ALT_EMAILS", store.AlternateEmails), text("DEPARTMENT", store.Department), text("NOTES", store.Notes),
		text("CUSTOM1", store.Custom1), text("CUSTOM2", store.Custom2), text("CUSTOM3", store.Custom3), list("COST_CENTERS", store.CostCenters),
		text("DEFAULT_GROUP", store.DefaultGroup), text("USE_AUTHSERVER", store.UseAuthenticationServer),
		exportColumn{"SYNC_SOURCE", func(u *exportedUser) string { return u.Label }},
		text("ONPREM_DOMAIN", store.OnPremisesDomain), text("ONPREM_USER", store.OnPremisesUserName),
		exportColumn{"ACTIVE", func(u *exportedUser) string { return fmt.Sprint(u.Active) }})
}

// lasting returns the values that do not expire.
func lasting(values []store.Value) (kept []store.Value) {
	for _, v := range values {
		if v.Expires.IsZero() {
			kept = append(kept, v)
		}
	}
	return kept
}

// listEscaper writes an item of a comma list (V3).
var listEscaper = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `|`, `\|`)

func joinEscaped(first []string, values []store.Value) string {
	all := first
	for _, v := range values {
		all = append(all, v.V)
	}
	for i := range all {
		all[i] = listEscaper.Replace(all[i])
	}
	return strings.Join(all, ",")
}

// joinPaths joins group paths, which rest with their escapes.
func joinPaths(values []store.Value) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.V
	}
	return strings.Join(all, ",")
}
