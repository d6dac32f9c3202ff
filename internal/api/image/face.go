// Package image is the image service's face: as much of Glance's v2 API
// (https://docs.openstack.org/api-ref/image/v2/) as volume commands ask for.
// There are no images.
package image

import (
	"net/http"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

// Config describes the face. Every field is needed.
type Config struct {
	Auth        kit.Authenticator
	PublicURL   string // of the face's root, such as http://127.0.0.1:8790/image
	IdentityURL string // public, for those without a token
}

type face struct {
	Config
}

// New returns the face's handler.
func New(cfg Config, env kit.Env) (http.Handler, error) {
	f := &face{cfg}
	get := func(pattern string, public bool, h kit.Handler) kit.Route {
		return kit.Route{Method: http.MethodGet, Pattern: pattern, Public: public, Handler: h}
	}
	return kit.New(kit.Face{
		Name: "image",
		Routes: []kit.Route{
			get("", true, f.versions),
			get("versions", true, f.versions),
			get("v2", true, f.versions),
			get("v2/images", false, f.list),
			get("v2/images/{id}", false, f.show),
			get("v2/schemas/image", false, f.imageSchema),
			get("v2/schemas/images", false, f.listSchema),
		},
		Auth:        cfg.Auth,
		IdentityURL: cfg.IdentityURL,
		Faults:      kit.Faults{Render: kit.RenderError},
	}, env)
}

// versions answers 300 at the root, and at v2 too, which isn't a resource of
// its own: clients look there for the versions behind it.
func (f *face) versions(w http.ResponseWriter, _ *kit.Request) error {
	return kit.WriteJSON(w, http.StatusMultipleChoices, map[string][]kit.VersionDoc{"versions": {
		{ID: "v2.9", Status: "CURRENT", Links: []kit.Link{{Rel: "self", Href: kit.Join(f.PublicURL, "v2/")}}},
	}})
}

// list is honest: there are none, whatever is asked for.
func (f *face) list(w http.ResponseWriter, r *kit.Request) error {
	first := "/v2/images"
	if r.URL.RawQuery != "" {
		first += "?" + r.Query().Encode()
	}
	return kit.WriteJSON(w, http.StatusOK, struct {
		Images []struct{} `json:"images"`
		First  string     `json:"first"`
		Schema string     `json:"schema"`
	}{[]struct{}{}, first, "/v2/schemas/images"})
}

func (f *face) show(_ http.ResponseWriter, r *kit.Request) error {
	return backup.Errorf(backup.NotFound, "No image found with ID %s", r.Param("id"))
}
