package blockstorage

import (
	"net/http"
	"slices"

	"holdfast/internal/api/kit"
	"holdfast/internal/service"
)

// Config is what the face stands on. Every field is needed.
type Config struct {
	Service *service.Service
	Auth    kit.Authenticator
	// BaseURL is the public address of the face's root, where its list of
	// versions is: "https://cloud.example:8790/volume", or the address of the
	// face's own listener. It begins every link.
	BaseURL string
	// IdentityURL is the public address that a 401 names.
	IdentityURL string
	// VolumeHost is where admins see volumes live: "host@backend#pool".
	VolumeHost string
}

// New returns the face for kit.New.
func New(cfg Config) kit.Face {
	f := &face{svc: cfg.Service, base: cfg.BaseURL, volumeHost: cfg.VolumeHost}
	return kit.Face{
		Name:             "block-storage",
		Routes:           slices.Concat(versionRoutes(cfg.BaseURL), f.routes()),
		Faults:           faults(),
		Auth:             cfg.Auth,
		IdentityURL:      cfg.IdentityURL,
		Scoped:           true,
		Versions:         &kit.Versions{Service: "volume", Min: minVersion, Max: maxVersion, Default: minVersion},
		Project:          kit.ProjectAfter("v3"),
		RequestIDHeaders: []string{"X-Compute-Request-Id"},
	}
}

type face struct {
	svc        *service.Service
	base       string
	volumeHost string
}

func (f *face) routes() []kit.Route {
	return slices.Concat(
		f.volumeRoutes(), f.snapshotRoutes(), f.backupRoutes(),
		f.metadataRoutes(), f.typeRoutes(), f.quotaRoutes(), f.serviceRoutes(), f.miscRoutes(),
	)
}

// accepted answers 202 without a body.
func accepted(w http.ResponseWriter) error { return kit.WriteEmpty(w, http.StatusAccepted) }

// done answers 200 without a body.
func done(w http.ResponseWriter) error { return kit.WriteEmpty(w, http.StatusOK) }
