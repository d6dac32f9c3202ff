package kit

import "strings"

// VersionDoc is one version in a service's version document. Version and
// MinVersion are left out where nil, and sent where empty: services without
// microversions differ in that.
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

// Join returns an address under a base, with one slash between the parts. A
// slash that the last part ends in stays.
func Join(base string, path ...string) string {
	for _, p := range path {
		base = strings.TrimRight(base, "/") + "/" + strings.TrimLeft(p, "/")
	}
	return base
}
