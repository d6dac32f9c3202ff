package identity

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// AdminName is the name of the embedded default's user and of its project.
const AdminName = "admin"

// adminPasswordSize is the entropy of the admin's first password, in bytes.
const adminPasswordSize = 18

// EnsureAdmin makes the embedded default's admin, with a random password and
// all roles in a project of the same name, unless there is any user already.
// save is given the password before the user is committed, and may be called
// again if the transaction has to be: what it writes down is the only copy.
// If it fails, there is no admin. EnsureAdmin reports whether it made one.
func (s *Service) EnsureAdmin(ctx context.Context, save func(password string) error) (created bool, err error) {
	if has, err := s.hasUsers(ctx); err != nil || has {
		return false, err
	}
	raw, err := random(s.rand, adminPasswordSize)
	if err != nil {
		return false, err
	}
	password := base64.RawURLEncoding.EncodeToString(raw)
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return false, err
	}
	id, err := s.newID()
	if err != nil {
		return false, err
	}
	err = s.db.Update(ctx, func(tx *catalog.Tx) error {
		created = false
		project, err := s.syncProject(ctx, tx, ProjectSpec{Name: AdminName})
		if err != nil {
			return err
		}
		added, err := tx.AddIdentityUser(ctx, catalog.IdentityUser{ID: id, Name: AdminName, PasswordHash: hash})
		if err != nil || !added {
			return err // another process was first
		}
		if err := tx.SetIdentityGrants(ctx, id, []catalog.IdentityGrant{{ProjectID: project, Role: RoleAdmin}}); err != nil {
			return err
		}
		if err := save(password); err != nil {
			return fmt.Errorf("save the admin's password: %w", err)
		}
		created = true
		return nil
	})
	return created && err == nil, err
}

func (s *Service) hasUsers(ctx context.Context) (bool, error) {
	users, err := s.Users(ctx)
	return len(users) > 0, err
}

// SetPassword changes a user's password and ends the user's tokens. An
// unknown name is an error of kind NotFound; a user whose password the
// configuration gives is one of kind Conflict.
func (s *Service) SetPassword(ctx context.Context, name, password string) error {
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		user, err := tx.IdentityUser(ctx, catalog.IdentityByName, name)
		switch {
		case err != nil:
			return err
		case user == nil:
			return backup.Errorf(backup.NotFound, "there is no user %s", name)
		case user.Configured:
			return backup.Errorf(backup.Conflict, "the configuration sets the password of user %s: change it there", name)
		}
		user.PasswordHash = hash
		if err := tx.SetIdentityUser(ctx, *user); err != nil {
			return err
		}
		return tx.RemoveIdentityTokens(ctx, user.ID)
	})
}

func compareGrants(a, b catalog.IdentityGrant) int {
	return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Role, b.Role))
}
