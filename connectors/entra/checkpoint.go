package entra

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"rollcall/connectors"
)

// Tokens in links live seven days; from five days on an operator is told.
const (
	tokenLife  = 7 * 24 * time.Hour
	tokenAlarm = 5 * 24 * time.Hour
)

// checkpoint is where the next rounds begin: a deltaLink for each set, and what was asked when it was given.
type checkpoint struct {
	// Query is a hash over everything that the links stand for: tenant, selection, properties.
	Query  string    `json:"query"`
	Users  string    `json:"users"`
	Groups string    `json:"groups,omitempty"`
	Issued time.Time `json:"issued"`
	// Date is Issued by Graph's clock, zero when it was not told.
	Date time.Time `json:"date,omitzero"`
}

func (c checkpoint) encode() connectors.Checkpoint {
	b, _ := json.Marshal(c)
	return b
}

// openCheckpoint reads a checkpoint; one that was made by another query has expired.
func openCheckpoint(raw connectors.Checkpoint, query string) (checkpoint, error) {
	var c checkpoint
	if err := json.Unmarshal(raw, &c); err != nil || c.Users == "" {
		return c, fmt.Errorf("%w: it is not one of this connector's", connectors.ErrCheckpointExpired)
	}
	if c.Query != query {
		return c, fmt.Errorf("%w: the tenant, the selection or the attributes asked for have changed", connectors.ErrCheckpointExpired)
	}
	return c, nil
}

// alarm is what an operator should know about the checkpoint's age.
func (c checkpoint) alarm(now time.Time) []string {
	if age := now.Sub(c.Issued); age >= tokenAlarm {
		return []string{fmt.Sprintf("the last incremental run was %d days ago; after %d days Graph forgets where it was and a whole run is needed", int(age.Hours()/24), int(tokenLife.Hours()/24))}
	}
	return nil
}

// query is the hash that ties a checkpoint to what was asked.
func (c Config) query(w wanted) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%t %s", c.Scope(), c.cloud().graph, strings.Join(w.properties, ","), w.groups, strings.Join(groupSelect, ","))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
