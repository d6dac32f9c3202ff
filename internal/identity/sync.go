package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Spec is what the configuration says of users and projects. Its names are
// unique.
type Spec struct {
	Projects []ProjectSpec
	Users    []UserSpec
}

// ProjectSpec is a project. An empty ID is chosen when the project is made.
type ProjectSpec struct {
	Name string
	ID   string
}

// UserSpec is a user with either a password or its hash (CheckHash).
type UserSpec struct {
	Name         string
	PasswordHash string
	Password     string
	Grants       []GrantSpec
}

// GrantSpec gives roles in a project of the Spec.
type GrantSpec struct {
	Project string // name
	Roles   []string
}

// Sync makes users and projects what the configuration says. A changed
// password or role ends the user's tokens, as does the removal of the user.
//
// Where the configuration names users, there are no others: an admin that
// EnsureAdmin made is removed. Where it names none, those of an earlier
// configuration are removed. Projects are never removed, since their backups
// stay. What contradicts itself or the catalog is an error of kind Invalid.
func (s *Service) Sync(ctx context.Context, spec Spec) error {
	users, err := s.prepare(ctx, spec.Users)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		projects, err := s.syncProjects(ctx, tx, spec.Projects)
		if err != nil {
			return err
		}
		for _, u := range users {
			if err := s.syncUser(ctx, tx, u, projects); err != nil {
				return fmt.Errorf("user %s: %w", u.Name, err)
			}
		}
		return removeOthers(ctx, tx, spec.Users)
	})
}

// prepare returns the users with a hash for each. It is kept as it is where
// the password is still the same, so that tokens survive a restart.
func (s *Service) prepare(ctx context.Context, specs []UserSpec) ([]UserSpec, error) {
	users := slices.Clone(specs)
	for i, u := range users {
		if u.PasswordHash != "" {
			if err := CheckHash(u.PasswordHash); err != nil {
				return nil, backup.Errorf(backup.Invalid, "user %s: %w", u.Name, err)
			}
			continue
		}
		have, err := s.findUser(ctx, Ref{Name: u.Name, DomainID: DomainID})
		if err != nil {
			return nil, err
		}
		if have != nil {
			same, err := s.hasher.verify(ctx, have.PasswordHash, u.Password)
			if err != nil {
				return nil, err
			}
			if same {
				users[i].PasswordHash = have.PasswordHash
				continue
			}
		}
		if users[i].PasswordHash, err = s.hasher.hash(ctx, u.Password); err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	return users, nil
}

// syncProjects adds projects that are missing and returns all ids by name.
func (s *Service) syncProjects(ctx context.Context, tx *catalog.Tx, specs []ProjectSpec) (map[string]string, error) {
	ids := map[string]string{}
	for _, p := range specs {
		id, err := s.syncProject(ctx, tx, p)
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", p.Name, err)
		}
		ids[p.Name] = id
	}
	return ids, nil
}

func (s *Service) syncProject(ctx context.Context, tx *catalog.Tx, spec ProjectSpec) (string, error) {
	id := spec.ID
	if id == "" {
		fresh, err := s.newID()
		if err != nil {
			return "", err
		}
		id = fresh
	}
	if _, err := tx.AddIdentityProject(ctx, catalog.IdentityProject{ID: id, Name: spec.Name}); err != nil {
		return "", err
	}
	have, err := tx.IdentityProject(ctx, catalog.IdentityByName, spec.Name)
	switch {
	case err != nil:
		return "", err
	case have == nil:
		return "", backup.Errorf(backup.Invalid, "id %s belongs to another project", id)
	case spec.ID != "" && have.ID != spec.ID:
		return "", backup.Errorf(backup.Invalid, "has id %s and can't get another one: its backups are under it", have.ID)
	}
	return have.ID, nil
}

// syncUser makes one user what its spec says.
func (s *Service) syncUser(ctx context.Context, tx *catalog.Tx, spec UserSpec, projects map[string]string) error {
	grants, err := resolve(spec.Grants, projects)
	if err != nil {
		return err
	}
	have, err := tx.IdentityUser(ctx, catalog.IdentityByName, spec.Name)
	if err != nil {
		return err
	}
	if have == nil {
		id, err := s.newID()
		if err != nil {
			return err
		}
		if _, err := tx.AddIdentityUser(ctx, catalog.IdentityUser{ID: id, Name: spec.Name, PasswordHash: spec.PasswordHash, Configured: true}); err != nil {
			return err
		}
		// Another process may have added it; from here on its row is locked.
		if have, err = tx.IdentityUser(ctx, catalog.IdentityByName, spec.Name); err != nil || have == nil {
			return orInternal(err, "a user that was just added is missing")
		}
	}
	granted, err := tx.IdentityGrants(ctx, have.ID)
	if err != nil {
		return err
	}
	slices.SortFunc(granted, compareGrants) // databases sort by their own locale
	samePassword, sameRoles := have.PasswordHash == spec.PasswordHash, slices.Equal(granted, grants)
	if samePassword && sameRoles && have.Configured {
		return nil
	}
	have.PasswordHash, have.Configured = spec.PasswordHash, true
	if err := tx.SetIdentityUser(ctx, *have); err != nil {
		return err
	}
	if !sameRoles {
		if err := tx.SetIdentityGrants(ctx, have.ID, grants); err != nil {
			return err
		}
	}
	if samePassword && sameRoles {
		return nil
	}
	return tx.RemoveIdentityTokens(ctx, have.ID)
}

func orInternal(err error, what string) error {
	if err != nil {
		return err
	}
	return backup.Errorf(backup.Internal, "%s", what)
}

// resolve returns grants as the catalog orders them, each once.
func resolve(specs []GrantSpec, projects map[string]string) ([]catalog.IdentityGrant, error) {
	set := map[catalog.IdentityGrant]bool{}
	for _, g := range specs {
		id, ok := projects[g.Project]
		if !ok {
			return nil, backup.Errorf(backup.Invalid, "project %s is not defined", g.Project)
		}
		for _, role := range g.Roles {
			if !slices.Contains(roleOrder[:], role) {
				return nil, backup.Errorf(backup.Invalid, "role %s does not exist", role)
			}
			set[catalog.IdentityGrant{ProjectID: id, Role: role}] = true
		}
	}
	grants := slices.Collect(maps.Keys(set))
	slices.SortFunc(grants, compareGrants)
	return grants, nil
}

// removeOthers removes the users that Sync's configuration doesn't allow.
func removeOthers(ctx context.Context, tx *catalog.Tx, specs []UserSpec) error {
	users, err := tx.IdentityUsers(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		named := slices.ContainsFunc(specs, func(s UserSpec) bool { return s.Name == u.Name })
		if named || len(specs) == 0 && !u.Configured {
			continue
		}
		if err := tx.RemoveIdentityUser(ctx, u.ID); err != nil {
			return err
		}
	}
	return nil
}
