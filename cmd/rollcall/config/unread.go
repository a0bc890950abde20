package config

import (
	"fmt"

	"rollcall/connectors"
	"rollcall/connectors/entra"
)

// unread is an Entra source as this version has it: checked, and not opened. Its incremental passes bring partial
// records, and the pipeline does not merge those yet: taken for whole ones they would clear what they do not mention.
type unread struct {
	entra.Config `yaml:",inline"`
}

// Open refuses.
func (*unread) Open(env connectors.Env) (connectors.Connector, error) {
	return nil, connectors.Hint(fmt.Errorf("source %s: this version does not read Entra ID", env.Source), "enabled: false")
}
