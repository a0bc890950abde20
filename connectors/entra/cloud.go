package entra

import "strings"

// cloud is where one of Microsoft's clouds is found. The three belong together: a token of one cloud's
// authority, for that cloud's Graph.
type cloud struct {
	authority string // ends with /
	graph     string // scheme and host, without a path
	custom    bool
}

// scope is what a token is asked for.
func (c cloud) scope() string { return c.graph + "/.default" }

// base is what the paths of requests are appended to.
func (c cloud) base() string { return c.graph + "/v1.0" }

var clouds = map[string]cloud{
	"":              {authority: "https://login.microsoftonline.com/", graph: "https://graph.microsoft.com"},
	"public":        {authority: "https://login.microsoftonline.com/", graph: "https://graph.microsoft.com"},
	"us-government": {authority: "https://login.microsoftonline.us/", graph: "https://graph.microsoft.us"},
	"us-dod":        {authority: "https://login.microsoftonline.us/", graph: "https://dod-graph.microsoft.us"},
	"china":         {authority: "https://login.chinacloudapi.cn/", graph: "https://microsoftgraph.chinacloudapi.cn"},
}

func (c Config) cloud() cloud {
	if c.Cloud == "custom" {
		return cloud{authority: strings.TrimSuffix(c.Authority, "/") + "/", graph: strings.TrimSuffix(c.GraphURL, "/"), custom: true}
	}
	return clouds[c.Cloud]
}
