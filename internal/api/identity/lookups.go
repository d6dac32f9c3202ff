package identity

import (
	"net/http"
	"net/url"
	"slices"

	"holdfast/internal/api/kit"
	core "holdfast/internal/identity"
)

// The resources that can be read. Each has only the fields that its API
// reference names.
type (
	links struct {
		Next     *string `json:"next"`
		Self     string  `json:"self"`
		Previous *string `json:"previous"`
	}
	selfLink struct {
		Self string `json:"self"`
	}
	options struct{}

	userView struct {
		ID                string   `json:"id"`
		Name              string   `json:"name"`
		DomainID          string   `json:"domain_id"`
		Enabled           bool     `json:"enabled"`
		PasswordExpiresAt *string  `json:"password_expires_at"`
		Options           options  `json:"options"`
		Links             selfLink `json:"links"`
	}
	projectView struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		DomainID    string   `json:"domain_id"`
		ParentID    *string  `json:"parent_id"`
		Description string   `json:"description"`
		Enabled     bool     `json:"enabled"`
		IsDomain    bool     `json:"is_domain"`
		Options     options  `json:"options"`
		Tags        []string `json:"tags"`
		Links       selfLink `json:"links"`
	}
	domainView struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Enabled     bool     `json:"enabled"`
		Options     options  `json:"options"`
		Tags        []string `json:"tags"`
		Links       selfLink `json:"links"`
	}
	roleView struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		DomainID    *string  `json:"domain_id"`
		Description *string  `json:"description"`
		Options     options  `json:"options"`
		Links       selfLink `json:"links"`
	}
	serviceView struct {
		ID          string   `json:"id"`
		Type        string   `json:"type"`
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Enabled     bool     `json:"enabled"`
		Links       selfLink `json:"links"`
	}
	endpointView struct {
		ID        string   `json:"id"`
		Interface string   `json:"interface"`
		ServiceID string   `json:"service_id"`
		RegionID  string   `json:"region_id"`
		Region    string   `json:"region"`
		URL       string   `json:"url"`
		Enabled   bool     `json:"enabled"`
		Links     selfLink `json:"links"`
	}
	regionView struct {
		ID             string   `json:"id"`
		Description    string   `json:"description"`
		ParentRegionID *string  `json:"parent_region_id"`
		Links          selfLink `json:"links"`
	}
)

func (f *face) user(u core.User) userView {
	return userView{ID: u.ID, Name: u.Name, DomainID: core.DomainID, Enabled: true, Links: selfLink{f.url("users/" + u.ID)}}
}

func (f *face) project(p core.Project) projectView {
	parent := core.DomainID
	return projectView{
		ID: p.ID, Name: p.Name, DomainID: core.DomainID, ParentID: &parent, Enabled: true,
		Tags: []string{}, Links: selfLink{f.url("projects/" + p.ID)},
	}
}

func (f *face) domain() domainView {
	return domainView{
		ID: core.DomainID, Name: core.DomainName, Description: "The default domain", Enabled: true,
		Tags: []string{}, Links: selfLink{f.url("domains/" + core.DomainID)},
	}
}

func (f *face) roles() []roleView {
	var out []roleView
	for _, name := range core.Roles() {
		id := roleID(name)
		out = append(out, roleView{ID: id, Name: name, Links: selfLink{f.url("roles/" + id)}})
	}
	return out
}

func (f *face) services() []serviceView {
	var out []serviceView
	for _, s := range f.Services {
		id := serviceID(s)
		out = append(out, serviceView{ID: id, Type: s.Type, Name: s.Name, Enabled: true, Links: selfLink{f.url("services/" + id)}})
	}
	return out
}

// endpoints show project templates in the form that Keystone's catalog uses.
func (f *face) endpoints() []endpointView {
	var out []endpointView
	for _, e := range f.catalog("%(project_id)s") {
		for _, p := range e.Endpoints {
			out = append(out, endpointView{
				ID: p.ID, Interface: p.Interface, ServiceID: e.ID, RegionID: p.RegionID, Region: p.Region,
				URL: p.URL, Enabled: true, Links: selfLink{f.url("endpoints/" + p.ID)},
			})
		}
	}
	return out
}

func (f *face) regions() []regionView {
	return []regionView{{ID: f.Region, Links: selfLink{f.url("regions/" + url.PathEscape(f.Region))}}}
}

// match reports whether a resource has what the query filters by. Parameters
// that are no filters of the resource are ignored, as in Keystone.
func match(q url.Values, have map[string]string) bool {
	for key, value := range have {
		if q.Has(key) && q.Get(key) != value {
			return false
		}
	}
	return enabled(q)
}

// enabled reports whether a query asks for what is enabled; everything is.
func enabled(q url.Values) bool {
	if !q.Has("enabled") {
		return true
	}
	// As in Keystone, the parameter alone and any word but a no mean yes.
	want, ok := kit.ParseBool(q.Get("enabled"))
	return want || !ok
}

// filtered returns the items that a query asks for, never nil.
func filtered[T any](r *kit.Request, items []T, have func(T) map[string]string) []T {
	out := []T{}
	for _, i := range items {
		if match(r.Query(), have(i)) {
			out = append(out, i)
		}
	}
	return out
}

// writeList answers with a list under its name.
func (f *face) writeList(w http.ResponseWriter, path, name string, items any) error {
	return kit.WriteJSON(w, http.StatusOK, map[string]any{name: items, "links": links{Self: f.url(path)}})
}

// writeOne answers with the item that has an id, under its name.
func writeOne[T any](w http.ResponseWriter, name, id string, items []T, idOf func(T) string) error {
	i := slices.IndexFunc(items, func(t T) bool { return idOf(t) == id })
	if i < 0 {
		return absent(name, id)
	}
	return kit.WriteJSON(w, http.StatusOK, map[string]T{name: items[i]})
}
