package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/config"
	"holdfast/internal/identity"
)

// region is the one region of the embedded catalog.
const region = "RegionOne"

// openIdentity opens the embedded identity; where there is no user at all, it
// makes the admin, and clouds.yaml for whoever has just made the folder.
func (c *core) openIdentity(ctx context.Context, url string) (*identity.Service, error) {
	users := identity.New(identity.Config{
		DB: c.db, Clock: c.clock, Rand: rand.Reader, Lifetime: c.cfg.Identity.TokenLifetime,
	})
	path := cloudsPath(c.cfg)
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	if len(c.cfg.Identity.Users) > 0 {
		return users, nil
	}
	created, err := users.EnsureAdmin(ctx, func(password string) error {
		return writeClouds(path, url+identityPrefix+"/v3", identity.AdminName, password, identity.AdminName, region)
	})
	if err != nil {
		return nil, fmt.Errorf("make the admin: %w", err)
	}
	if created {
		c.log.InfoContext(ctx, "made the first user", "user", identity.AdminName, "login", path)
	}
	return users, nil
}

// syncIdentity makes the users what the configuration says, and clouds.yaml
// name the address that this service has now.
func (a *App) syncIdentity(ctx context.Context) error {
	if err := a.users.Sync(ctx, identitySpec(a.cfg.Identity)); err != nil {
		return startErrorf("identity: %w", err)
	}
	_, err := renewClouds(cloudsPath(a.cfg), map[string]string{"auth_url": a.url + identityPrefix + "/v3"})
	return err
}

func identitySpec(c config.Identity) identity.Spec {
	var s identity.Spec
	for _, p := range c.Projects {
		s.Projects = append(s.Projects, identity.ProjectSpec{Name: p.Name, ID: p.ID})
	}
	for _, u := range c.Users {
		user := identity.UserSpec{Name: u.Name, PasswordHash: u.PasswordHash.Reveal(), Password: u.Password.Reveal()}
		for _, g := range u.Projects {
			user.Grants = append(user.Grants, identity.GrantSpec{Project: g.Name, Roles: g.Roles})
		}
		s.Users = append(s.Users, user)
	}
	return s
}

// SetPassword gives a user a new password and ends the user's tokens. Where
// clouds.yaml logs this user in, it is renewed, or made for the admin.
func SetPassword(ctx context.Context, cfg config.Config, log *slog.Logger, user, password string) error {
	if err := makePrivate(cfg.Data); err != nil {
		return err
	}
	db, err := catalog.Open(ctx, catalog.Config{
		URL: cfg.Database.URL.Reveal(), Path: filepath.Join(cfg.Data, "catalog.db"), Clock: clock.Real{}, Log: log,
	})
	if err != nil {
		return &StartError{err}
	}
	users := identity.New(identity.Config{DB: db, Clock: clock.Real{}, Rand: rand.Reader})
	err = users.SetPassword(ctx, user, password)
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	path := cloudsPath(cfg)
	owner, err := cloudsUser(path)
	switch {
	case err != nil:
		return err
	case owner == user:
		_, err = renewClouds(path, map[string]string{"password": password})
	case owner == "" && user == identity.AdminName && cfg.PublicURL != "":
		err = writeClouds(path, cfg.PublicURL+identityPrefix+"/v3", user, password, identity.AdminName, region)
	}
	return err
}

// HashPassword returns a password's hash for the configuration's
// password_hash.
func HashPassword(ctx context.Context, password string) (string, error) {
	return identity.HashPassword(ctx, rand.Reader, password)
}
