package identity

import (
	"net/http"
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

// interfaces of an endpoint; all three have the same address here.
var interfaces = [...]string{"public", "internal", "admin"}

type catalogEntry struct {
	Endpoints []catalogEndpoint `json:"endpoints"`
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Name      string            `json:"name"`
}

type catalogEndpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
	Region    string `json:"region"`
}

// catalog returns the services as a project sees them.
func (f *face) catalog(project string) []catalogEntry {
	out := make([]catalogEntry, 0, len(f.Services))
	for _, s := range f.Services {
		e := catalogEntry{ID: serviceID(s), Type: s.Type, Name: s.Name}
		for _, i := range interfaces {
			e.Endpoints = append(e.Endpoints, catalogEndpoint{
				ID: endpointID(s, i), Interface: i, RegionID: f.Region, Region: f.Region,
				URL: strings.ReplaceAll(s.URL, "{project_id}", project),
			})
		}
		out = append(out, e)
	}
	return out
}

func serviceID(s Service) string { return hexID("service", s.Type) }

func endpointID(s Service, iface string) string { return hexID("endpoint", s.Type+"/"+iface) }

func roleID(name string) string { return hexID("role", name) }

// ownCatalog is GET /v3/auth/catalog.
func (f *face) ownCatalog(w http.ResponseWriter, r *kit.Request) error {
	if r.Caller.ProjectID == "" {
		return backup.Errorf(backup.Forbidden, "A project-scoped token is required to produce a service catalog.")
	}
	return kit.WriteJSON(w, http.StatusOK, map[string]any{
		"catalog": f.catalog(r.Caller.ProjectID),
		"links":   links{Self: f.url("auth/catalog")},
	})
}
