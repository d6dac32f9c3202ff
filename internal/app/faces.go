package app

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"holdfast/internal/api/blockstorage"
	"holdfast/internal/api/identity"
	"holdfast/internal/api/image"
	"holdfast/internal/api/kit"
	"holdfast/internal/config"
)

// The path prefixes of the faces on the main listener.
const (
	volumePrefix   = "/volume"
	identityPrefix = "/identity"
	imagePrefix    = "/image"
)

// mountFaces puts every face under its prefix on the main listener, and those
// that have a listener of their own there without one.
func (a *App) mountFaces() error {
	handlers := kit.Prefixes{}
	var entries []kit.Entry
	for _, f := range []struct{ name, prefix string }{
		{config.BlockStorage, volumePrefix}, {config.IdentityFace, identityPrefix}, {config.Image, imagePrefix},
	} {
		h, err := a.face(f.name, a.url+f.prefix)
		if err != nil {
			return err
		}
		handlers[f.prefix] = h
		entries = append(entries, kit.Entry{Name: f.name, URL: a.url + f.prefix + "/"})
	}
	index, err := kit.New(kit.Face{
		Name: "index", Routes: kit.IndexRoutes(entries), Faults: kit.Faults{Render: kit.RenderError},
	}, a.env())
	if err != nil {
		return err
	}
	handlers["/"] = index
	a.main.server.Handler = handlers.Handler()
	for i, c := range a.cfg.Listeners {
		l := a.alone[i]
		if l.server.Handler, err = a.face(c.Face, publicURL(c.PublicURL, l, c.TLS)); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) env() kit.Env {
	return kit.Env{
		Log: a.log, Clock: a.clock, Rand: rand.Reader, Metrics: a.metrics,
		Trusted: a.cfg.TrustedProxies, BodyLimit: a.cfg.Limits.BodyBytes,
	}
}

// face returns a face whose links begin with base.
func (a *App) face(name, base string) (http.Handler, error) {
	switch name {
	case config.BlockStorage:
		return kit.New(blockstorage.New(blockstorage.Config{
			Service: a.service, Auth: a.users, BaseURL: base, IdentityURL: a.url + identityPrefix,
			VolumeHost: "holdfast@local#local",
		}), a.env())
	case config.IdentityFace:
		return identity.New(identity.Config{
			Identity: a.users, PublicURL: base, Region: region, Services: a.services(),
		}, a.env())
	case config.Image:
		return image.New(image.Config{Auth: a.users, PublicURL: base, IdentityURL: a.url + identityPrefix}, a.env())
	}
	return nil, fmt.Errorf("there is no face %q", name)
}

// services is the catalog that every token carries.
func (a *App) services() []identity.Service {
	volume := a.url + volumePrefix + "/v3/{project_id}"
	return []identity.Service{
		{Type: "identity", Name: "keystone", URL: a.url + identityPrefix},
		{Type: "volumev3", Name: "cinderv3", URL: volume},
		{Type: "block-storage", Name: "cinder", URL: volume},
		{Type: "image", Name: "glance", URL: a.url + imagePrefix},
	}
}
