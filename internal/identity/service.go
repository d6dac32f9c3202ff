package identity

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
)

// The one domain.
const (
	DomainID   = "default"
	DomainName = "Default"
)

// The roles. Each contains those after it.
const (
	RoleAdmin  = "admin"
	RoleMember = "member"
	RoleReader = "reader"
)

// DefaultLifetime is how long a token lasts.
const DefaultLifetime = time.Hour

// Config is what a Service stands on. DB, Clock and Rand are needed.
type Config struct {
	DB       *catalog.DB
	Clock    clock.Clock
	Rand     io.Reader
	Lifetime time.Duration // of a token; 0: DefaultLifetime
}

// Service keeps users, projects and tokens. Its methods may be called
// concurrently.
type Service struct {
	db       *catalog.DB
	rand     io.Reader
	lifetime time.Duration
	hasher   *hasher
	users    *backoff // by user name
	clients  *backoff // by address
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	return &Service{
		db: cfg.DB, rand: cfg.Rand, lifetime: cfg.Lifetime,
		hasher:  newHasher(cfg.Rand),
		users:   newBackoff(cfg.Clock, userLimits),
		clients: newBackoff(cfg.Clock, clientLimits),
	}
}

// User is someone who can log in.
type User struct {
	ID   string // 32 hex digits
	Name string
}

// Project is a tenant.
type Project struct {
	ID   string // 32 hex digits
	Name string
}

// Users returns all users by name.
func (s *Service) Users(ctx context.Context) ([]User, error) {
	var out []User
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		rows, err := tx.IdentityUsers(ctx)
		out = nil
		for _, u := range rows {
			out = append(out, User{ID: u.ID, Name: u.Name})
		}
		return err
	})
	return out, err
}

// User returns a user by id. An unknown id is an error of kind NotFound.
func (s *Service) User(ctx context.Context, id string) (User, error) {
	var out User
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		u, err := tx.IdentityUser(ctx, catalog.IdentityByID, id)
		if err != nil {
			return err
		}
		if u == nil {
			return backup.Errorf(backup.NotFound, "Could not find user: %s.", id)
		}
		out = User{ID: u.ID, Name: u.Name}
		return nil
	})
	return out, err
}

// Projects returns the projects in which a user has a role, or all where
// userID is empty, by name.
func (s *Service) Projects(ctx context.Context, userID string) ([]Project, error) {
	var out []Project
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		rows, err := tx.IdentityProjects(ctx, userID)
		out = nil
		for _, p := range rows {
			out = append(out, Project{ID: p.ID, Name: p.Name})
		}
		return err
	})
	return out, err
}

// Project returns a project by id. An unknown id is an error of kind
// NotFound.
func (s *Service) Project(ctx context.Context, id string) (Project, error) {
	return s.project(ctx, catalog.IdentityByID, id)
}

// ProjectByName returns a project. An unknown name is an error of kind
// NotFound.
func (s *Service) ProjectByName(ctx context.Context, name string) (Project, error) {
	return s.project(ctx, catalog.IdentityByName, name)
}

func (s *Service) project(ctx context.Context, by catalog.IdentityKey, value string) (Project, error) {
	var out Project
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		p, err := tx.IdentityProject(ctx, by, value)
		if err != nil {
			return err
		}
		if p == nil {
			return backup.Errorf(backup.NotFound, "Could not find project: %s.", value)
		}
		out = Project{ID: p.ID, Name: p.Name}
		return nil
	})
	return out, err
}

// random returns n random bytes.
func random(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}

// newID returns the id of a user or project: 32 hex digits.
func (s *Service) newID() (string, error) {
	b, err := random(s.rand, 16)
	return hex.EncodeToString(b), err
}

// roleOrder lists the roles from the greatest down.
var roleOrder = [...]string{RoleAdmin, RoleMember, RoleReader}

// withImplied returns the roles together with those that they contain, the
// greatest first.
func withImplied(roles []string) []string {
	for i, r := range roleOrder {
		if slices.Contains(roles, r) {
			return slices.Clone(roleOrder[i:])
		}
	}
	return nil
}

// Roles returns the names of all roles, the greatest first.
func Roles() []string { return slices.Clone(roleOrder[:]) }

// isDomain reports whether an id or a name means the one domain. As in
// Keystone on its usual databases, the case of a name doesn't matter.
func isDomain(id, name string) bool {
	if id != "" {
		return id == DomainID
	}
	return strings.EqualFold(name, DomainName)
}
