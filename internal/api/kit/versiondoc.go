package kit

import "strings"

// VersionDoc is one version in a service's version document. Empty fields
// are left out, except Version and MinVersion where MinVersion is not nil.
type VersionDoc struct {
	ID         string      `json:"id"`
	Status     string      `json:"status"`
	Version    *string     `json:"version,omitempty"`
	MinVersion *string     `json:"min_version,omitempty"`
	Updated    string      `json:"updated,omitempty"`
	Links      []Link      `json:"links"`
	MediaTypes []MediaType `json:"media-types,omitempty"`
}

// MediaType is a form in which a version's bodies come.
type MediaType struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

// Join returns an address under a base: one slash between the parts, whether
// or not the base ends in one.
func Join(base string, path ...string) string {
	base = strings.TrimRight(base, "/")
	for _, p := range path {
		base += "/" + strings.TrimLeft(p, "/")
	}
	return base
}
