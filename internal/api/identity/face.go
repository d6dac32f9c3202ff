package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	core "holdfast/internal/identity"
)

// Service is an entry of the catalog of services.
type Service struct {
	Type string // "volumev3"
	Name string
	URL  string // public; "{project_id}" stands for the token's project
}

// Config describes the face. Every field is needed.
type Config struct {
	Identity  *core.Service
	PublicURL string // of the face's root, such as http://127.0.0.1:8790/identity
	Region    string
	Services  []Service // of the catalog, identity included
}

// Region is the region of an installation that is given no other.
const Region = "RegionOne"

type face struct {
	Config
}

// New returns the face's handler.
func New(cfg Config, env kit.Env) (http.Handler, error) {
	f := &face{cfg}
	return kit.New(kit.Face{
		Name:        "identity",
		Routes:      f.routes(),
		Auth:        cfg.Identity,
		IdentityURL: cfg.PublicURL,
		Faults: kit.Faults{
			Render: kit.RenderError,
		},
	}, env)
}

func (f *face) routes() []kit.Route {
	get, head, post, del := http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete
	public := func(pattern string, h kit.Handler) kit.Route {
		return kit.Route{Method: get, Pattern: pattern, Public: true, Handler: h}
	}
	return []kit.Route{
		public("", f.versions),
		public("v3", f.version),
		{Method: post, Pattern: "v3/auth/tokens", Public: true, Handler: f.login},
		{Method: get, Pattern: "v3/auth/tokens", Handler: f.showToken},
		{Method: head, Pattern: "v3/auth/tokens", Handler: f.checkToken},
		{Method: del, Pattern: "v3/auth/tokens", Handler: f.revokeToken},
		{Method: get, Pattern: "v3/auth/catalog", Handler: f.ownCatalog},
		{Method: get, Pattern: "v3/auth/projects", Handler: f.ownProjects},
		{Method: get, Pattern: "v3/auth/domains", Handler: f.ownDomains},
		{Method: get, Pattern: "v3/users", Handler: f.listUsers},
		{Method: get, Pattern: "v3/users/{id}", Handler: f.showUser},
		{Method: get, Pattern: "v3/users/{id}/projects", Handler: f.userProjects},
		{Method: get, Pattern: "v3/projects", Handler: f.listProjects},
		{Method: get, Pattern: "v3/projects/{id}", Handler: f.showProject},
		{Method: get, Pattern: "v3/domains", Handler: f.listDomains},
		{Method: get, Pattern: "v3/domains/{id}", Handler: f.showDomain},
		{Method: get, Pattern: "v3/roles", Handler: f.listRoles},
		{Method: get, Pattern: "v3/roles/{id}", Handler: f.showRole},
		{Method: get, Pattern: "v3/services", Handler: f.listServices},
		{Method: get, Pattern: "v3/services/{id}", Handler: f.showService},
		{Method: get, Pattern: "v3/endpoints", Handler: f.listEndpoints},
		{Method: get, Pattern: "v3/endpoints/{id}", Handler: f.showEndpoint},
		{Method: get, Pattern: "v3/regions", Handler: f.listRegions},
		{Method: get, Pattern: "v3/regions/{id}", Handler: f.showRegion},
	}
}

// v3 is the version document.
func (f *face) v3() kit.VersionDoc {
	return kit.VersionDoc{
		ID: "v3.14", Status: "stable", Updated: "2020-04-07T00:00:00Z",
		Links:      []kit.Link{{Rel: "self", Href: f.url("")}},
		MediaTypes: []kit.MediaType{{Base: "application/json", Type: "application/vnd.openstack.identity-v3+json"}},
	}
}

// url returns the public address of a path below v3.
func (f *face) url(path string) string { return kit.Join(f.PublicURL, "v3/", path) }

func (f *face) versions(w http.ResponseWriter, _ *kit.Request) error {
	type values struct {
		Values []kit.VersionDoc `json:"values"`
	}
	return kit.WriteJSON(w, http.StatusMultipleChoices, map[string]values{"versions": {[]kit.VersionDoc{f.v3()}}})
}

func (f *face) version(w http.ResponseWriter, _ *kit.Request) error {
	return kit.WriteJSON(w, http.StatusOK, map[string]kit.VersionDoc{"version": f.v3()})
}

// fault gives a throttled login its own answer.
func fault(err error) error {
	var t *core.Throttled
	if errors.As(err, &t) {
		return &kit.Fault{
			Code: http.StatusTooManyRequests, Message: t.Error(),
			Header: http.Header{"Retry-After": {strconv.Itoa(t.Seconds())}},
		}
	}
	return err
}

// forbidden is the answer to a caller who may not do what a rule says.
func forbidden(rule string) error {
	return backup.Errorf(backup.Forbidden, "You are not authorized to perform the requested action: identity:%s.", rule)
}

func absent(what, id string) error {
	return backup.Errorf(backup.NotFound, "Could not find %s: %s.", what, id)
}

// hexID returns the fixed id of a thing that has no row of its own.
func hexID(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}

// selfOrAdmin reports whether a caller asks about itself or administers.
func selfOrAdmin(c backup.Caller, userID string) bool { return c.Admin() || c.UserID == userID }

// lookup is core.Service.Lookup for a token that a header names.
func (f *face) lookup(ctx context.Context, secret string) (core.Token, error) {
	t, err := f.Identity.Lookup(ctx, secret)
	if backup.KindOf(err) == backup.Unauthorized {
		return t, absent("token", "it is unknown or has ended")
	}
	return t, err
}
