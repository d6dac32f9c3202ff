package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// IdentityUser is someone who can log in.
type IdentityUser struct {
	ID           string
	Name         string // unique
	PasswordHash string // PHC form
	Configured   bool   // comes from the configuration, which alone may change it
	CreatedAt    time.Time
	UpdatedAt    time.Time // of password and roles
}

// IdentityProject is a tenant.
type IdentityProject struct {
	ID        string
	Name      string // unique
	CreatedAt time.Time
}

// IdentityGrant is a role of a user in a project.
type IdentityGrant struct {
	ProjectID string
	Role      string
}

// IdentityToken is an issued token.
type IdentityToken struct {
	Hash        [32]byte // SHA-256 of the secret
	UserID      string
	ProjectID   string // empty: no scope
	Methods     string // how it was got, comma-separated
	AuditID     string
	AuditParent string // the audit id of the login that it descends from; empty: is one
	IssuedAt    time.Time
	ExpiresAt   time.Time
}

// IdentityKey names the column that a user or project is looked up by.
type IdentityKey string

// The columns.
const (
	IdentityByID   IdentityKey = "id"
	IdentityByName IdentityKey = "name"
)

const identityUserColumns = "r.id, r.name, r.password_hash, r.configured, r.created_at, r.updated_at"

// IdentityUser returns a user, nil where there is none. Within Update it
// locks the row, so that a token can't be issued across a change of the
// password.
func (tx *Tx) IdentityUser(ctx context.Context, by IdentityKey, value string) (*IdentityUser, error) {
	row := tx.QueryRow(ctx, "SELECT "+identityUserColumns+" FROM identity_users r WHERE r."+string(by)+" = $1"+tx.forUpdate(), value)
	u, err := scanIdentityUser(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read user: %w", err)
	}
	return &u, nil
}

// IdentityUsers returns all users by name.
func (tx *Tx) IdentityUsers(ctx context.Context) ([]IdentityUser, error) {
	rows, err := tx.Query(ctx, "SELECT "+identityUserColumns+" FROM identity_users r ORDER BY r.name")
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	defer rows.Close()
	var all []IdentityUser
	for rows.Next() {
		u, err := scanIdentityUser(rows)
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		all = append(all, u)
	}
	return all, rows.Err()
}

func scanIdentityUser(row interface{ Scan(...any) error }) (IdentityUser, error) {
	var u IdentityUser
	err := row.Scan(&u.ID, &u.Name, &u.PasswordHash, Cell{&u.Configured}, Cell{&u.CreatedAt}, Cell{&u.UpdatedAt})
	return u, err
}

// AddIdentityUser adds a user. It reports false, and changes nothing, where
// the name or id is taken.
func (tx *Tx) AddIdentityUser(ctx context.Context, u IdentityUser) (bool, error) {
	n, err := tx.changed(ctx, `
		INSERT INTO identity_users (id, name, password_hash, configured, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`,
		u.ID, u.Name, u.PasswordHash, Cell{&u.Configured}, tx.now.UnixMicro(), tx.now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("add user %s: %w", u.Name, err)
	}
	return n == 1, nil
}

// SetIdentityUser changes a user's password and origin.
func (tx *Tx) SetIdentityUser(ctx context.Context, u IdentityUser) error {
	_, err := tx.Exec(ctx, "UPDATE identity_users SET password_hash = $1, configured = $2, updated_at = $3 WHERE id = $4",
		u.PasswordHash, Cell{&u.Configured}, tx.now.UnixMicro(), u.ID)
	if err != nil {
		return fmt.Errorf("change user %s: %w", u.Name, err)
	}
	return nil
}

// RemoveIdentityUser removes a user with its roles and tokens.
func (tx *Tx) RemoveIdentityUser(ctx context.Context, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM identity_users WHERE id = $1", id); err != nil {
		return fmt.Errorf("remove user %s: %w", id, err)
	}
	return nil
}

// IdentityProjects returns the projects in which a user has a role, or all
// where user is empty, by name.
func (tx *Tx) IdentityProjects(ctx context.Context, user string) ([]IdentityProject, error) {
	rows, err := tx.Query(ctx, `
		SELECT p.id, p.name, p.created_at FROM identity_projects p
		WHERE $1 = '' OR p.id IN (SELECT project_id FROM identity_grants WHERE user_id = $1) ORDER BY p.name`, user)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	defer rows.Close()
	var all []IdentityProject
	for rows.Next() {
		var p IdentityProject
		if err := rows.Scan(&p.ID, &p.Name, Cell{&p.CreatedAt}); err != nil {
			return nil, fmt.Errorf("list projects: %w", err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// IdentityProject returns a project, nil where there is none.
func (tx *Tx) IdentityProject(ctx context.Context, by IdentityKey, value string) (*IdentityProject, error) {
	var p IdentityProject
	err := tx.QueryRow(ctx, "SELECT id, name, created_at FROM identity_projects WHERE "+string(by)+" = $1", value).
		Scan(&p.ID, &p.Name, Cell{&p.CreatedAt})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read project: %w", err)
	}
	return &p, nil
}

// AddIdentityProject adds a project. It reports false, and changes nothing,
// where the name or id is taken.
func (tx *Tx) AddIdentityProject(ctx context.Context, p IdentityProject) (bool, error) {
	n, err := tx.changed(ctx, "INSERT INTO identity_projects (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		p.ID, p.Name, tx.now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("add project %s: %w", p.Name, err)
	}
	return n == 1, nil
}

// IdentityGrants returns a user's roles, in no order.
func (tx *Tx) IdentityGrants(ctx context.Context, user string) ([]IdentityGrant, error) {
	rows, err := tx.Query(ctx, "SELECT project_id, role FROM identity_grants WHERE user_id = $1", user)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	defer rows.Close()
	var all []IdentityGrant
	for rows.Next() {
		var g IdentityGrant
		if err := rows.Scan(&g.ProjectID, &g.Role); err != nil {
			return nil, fmt.Errorf("read roles: %w", err)
		}
		all = append(all, g)
	}
	return all, rows.Err()
}

// SetIdentityGrants replaces a user's roles.
func (tx *Tx) SetIdentityGrants(ctx context.Context, user string, grants []IdentityGrant) error {
	if _, err := tx.Exec(ctx, "DELETE FROM identity_grants WHERE user_id = $1", user); err != nil {
		return fmt.Errorf("take the roles of user %s: %w", user, err)
	}
	for _, g := range grants {
		_, err := tx.Exec(ctx, "INSERT INTO identity_grants (user_id, project_id, role) VALUES ($1, $2, $3)", user, g.ProjectID, g.Role)
		if err != nil {
			return fmt.Errorf("give user %s role %s: %w", user, g.Role, err)
		}
	}
	return nil
}
