package config

import (
	"rollcall/connectors"
	"rollcall/connectors/csv"
	"rollcall/connectors/entra"
	"rollcall/connectors/ldap"
)

// kinds says which kinds of sources exist and makes an empty configuration of each.
var kinds = map[string]func() connectors.Config{
	"csv":   func() connectors.Config { return &csv.Config{} },
	"ldap":  func() connectors.Config { return &ldap.Config{} },
	"entra": func() connectors.Config { return &entra.Config{} },
}
