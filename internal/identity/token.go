package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Token is what a token stands for. Times are in UTC, to the second.
type Token struct {
	UserID      string
	UserName    string
	ProjectID   string // empty: no scope
	ProjectName string
	Roles       []string // in the project, with those they contain; the greatest first
	Methods     []string // how it was got: password, token
	AuditIDs    []string // its own, then that of the login that it descends from
	IssuedAt    time.Time
	ExpiresAt   time.Time
}

const (
	secretSize = 32 // bytes
	auditSize  = 16

	// pruned is how many expired tokens each new one clears away. More than
	// one is enough to keep their number bounded.
	pruned = 16
)

func hashOf(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// issue makes a token, if what it is granted for still holds.
func (s *Service) issue(ctx context.Context, g grant) (secret string, t Token, err error) {
	raw, err := random(s.rand, secretSize+auditSize)
	if err != nil {
		return "", Token{}, err
	}
	enc := base64.RawURLEncoding
	secret = enc.EncodeToString(raw[:secretSize])
	row := catalog.IdentityToken{
		Hash: hashOf(secret), UserID: g.userID, Methods: strings.Join(g.methods, ","),
		AuditID: enc.EncodeToString(raw[secretSize:]), AuditParent: g.audit,
	}
	err = s.db.Update(ctx, func(tx *catalog.Tx) error {
		row.IssuedAt = tx.Now().Truncate(time.Second)
		row.ExpiresAt = g.expires
		if g.expires.IsZero() {
			row.ExpiresAt = row.IssuedAt.Add(g.lifetime)
		}
		if err := s.stillHolds(ctx, tx, g); err != nil {
			return err
		}
		if row.ProjectID, err = scopeID(ctx, tx, g.userID, g.scope); err != nil {
			return err
		}
		if err := tx.PruneIdentityTokens(ctx, pruned); err != nil {
			return err
		}
		if err := tx.AddIdentityToken(ctx, row); err != nil {
			return err
		}
		session, err := tx.IdentitySession(ctx, row.Hash)
		if err != nil {
			return err
		}
		t, err = tokenOf(session)
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, t, nil
}

// stillHolds locks the user and checks that neither the password nor the
// token that was shown has ended since it was checked.
func (s *Service) stillHolds(ctx context.Context, tx *catalog.Tx, g grant) error {
	user, err := tx.IdentityUser(ctx, catalog.IdentityByID, g.userID)
	if err != nil {
		return err
	}
	if user == nil {
		return unauthorized()
	}
	if g.passwordHash != "" {
		if user.PasswordHash != g.passwordHash {
			return unauthorized()
		}
		return nil
	}
	parent, err := tx.IdentitySession(ctx, g.parent)
	if err == nil && parent == nil {
		return unauthorized()
	}
	return err
}

// scopeID returns the project that a scope means. A project that doesn't
// exist and one without a role for the user are refused alike.
func scopeID(ctx context.Context, tx *catalog.Tx, user string, scope Scope) (string, error) {
	switch {
	case scope.Elsewhere:
		return "", unauthorized()
	case scope.Project == nil:
		return "", nil
	}
	ref := *scope.Project
	projects, err := tx.IdentityProjects(ctx, user)
	if err != nil {
		return "", err
	}
	for _, p := range projects {
		if ref.ID != "" && p.ID == ref.ID || ref.ID == "" && p.Name == ref.Name && isDomain(ref.DomainID, ref.DomainName) {
			return p.ID, nil
		}
	}
	return "", unauthorized()
}

// Lookup returns what a token stands for. One that is unknown, has ended or
// has no roles in its project any more is an error of kind Unauthorized.
func (s *Service) Lookup(ctx context.Context, secret string) (Token, error) {
	var t Token
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		session, err := tx.IdentitySession(ctx, hashOf(secret))
		if err != nil {
			return err
		}
		t, err = tokenOf(session)
		return err
	})
	return t, err
}

func tokenOf(session *catalog.IdentitySession) (Token, error) {
	if session == nil {
		return Token{}, unauthorized()
	}
	row := session.Token
	t := Token{
		UserID: row.UserID, UserName: session.UserName,
		ProjectID: row.ProjectID, ProjectName: session.ProjectName,
		Roles:    withImplied(session.Roles),
		Methods:  strings.Split(row.Methods, ","),
		AuditIDs: []string{row.AuditID},
		IssuedAt: row.IssuedAt, ExpiresAt: row.ExpiresAt,
	}
	if row.AuditParent != "" {
		t.AuditIDs = append(t.AuditIDs, row.AuditParent)
	}
	if t.ProjectID != "" && len(t.Roles) == 0 {
		return Token{}, unauthorized()
	}
	return t, nil
}

// Authenticate returns who a token speaks for; see Lookup for its errors.
func (s *Service) Authenticate(ctx context.Context, secret string) (backup.Caller, error) {
	t, err := s.Lookup(ctx, secret)
	if err != nil {
		return backup.Caller{}, err
	}
	return backup.Caller{
		UserID: t.UserID, UserName: t.UserName,
		ProjectID: t.ProjectID, ProjectName: t.ProjectName, Roles: t.Roles,
	}, nil
}

// Revoke ends a token. An unknown one is an error of kind NotFound.
func (s *Service) Revoke(ctx context.Context, secret string) error {
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		found, err := tx.RemoveIdentityToken(ctx, hashOf(secret))
		if err == nil && !found {
			return backup.Errorf(backup.NotFound, "Could not find token.")
		}
		return err
	})
}
