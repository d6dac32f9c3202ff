package catalog

import (
	"context"
	"fmt"
)

// IdentitySession is a valid token with what it stands for.
type IdentitySession struct {
	Token       IdentityToken
	UserName    string
	ProjectName string   // empty: no scope
	Roles       []string // in the token's project
}

// AddIdentityToken keeps an issued token.
func (tx *Tx) AddIdentityToken(ctx context.Context, t IdentityToken) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO identity_tokens (hash, user_id, project_id, methods, audit_id, audit_parent, issued_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		Cell{&t.Hash}, t.UserID, t.ProjectID, t.Methods, t.AuditID, t.AuditParent, Cell{&t.IssuedAt}, Cell{&t.ExpiresAt})
	if err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}

// IdentitySession returns what a token stands for, nil where it is unknown or
// has expired. It is one query: every request of every face makes it.
func (tx *Tx) IdentitySession(ctx context.Context, hash [32]byte) (*IdentitySession, error) {
	rows, err := tx.Query(ctx, `
		SELECT t.user_id, t.project_id, t.methods, t.audit_id, t.audit_parent, t.issued_at, t.expires_at,
			u.name, COALESCE(p.name, ''), COALESCE(g.role, '')
		FROM identity_tokens t
		JOIN identity_users u ON u.id = t.user_id
		LEFT JOIN identity_projects p ON p.id = t.project_id
		LEFT JOIN identity_grants g ON g.user_id = t.user_id AND g.project_id = t.project_id
		WHERE t.hash = $1 AND t.expires_at > $2`, Cell{&hash}, tx.now.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("look up token: %w", err)
	}
	defer rows.Close()
	var s *IdentitySession
	for rows.Next() {
		if s == nil {
			s = &IdentitySession{Token: IdentityToken{Hash: hash}}
		}
		var role string
		t := &s.Token
		if err := rows.Scan(&t.UserID, &t.ProjectID, &t.Methods, &t.AuditID, &t.AuditParent, Cell{&t.IssuedAt}, Cell{&t.ExpiresAt},
			&s.UserName, &s.ProjectName, &role); err != nil {
			return nil, fmt.Errorf("look up token: %w", err)
		}
		if role != "" {
			s.Roles = append(s.Roles, role)
		}
	}
	return s, rows.Err()
}

// RemoveIdentityToken ends a token. It reports whether there was one.
func (tx *Tx) RemoveIdentityToken(ctx context.Context, hash [32]byte) (bool, error) {
	n, err := tx.changed(ctx, "DELETE FROM identity_tokens WHERE hash = $1", Cell{&hash})
	if err != nil {
		return false, fmt.Errorf("end token: %w", err)
	}
	return n > 0, nil
}

// RemoveIdentityTokens ends all tokens of a user.
func (tx *Tx) RemoveIdentityTokens(ctx context.Context, user string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM identity_tokens WHERE user_id = $1", user); err != nil {
		return fmt.Errorf("end the tokens of user %s: %w", user, err)
	}
	return nil
}

// PruneIdentityTokens removes up to limit tokens that have expired, the
// oldest first.
func (tx *Tx) PruneIdentityTokens(ctx context.Context, limit int) error {
	_, err := tx.Exec(ctx, `DELETE FROM identity_tokens WHERE hash IN (
		SELECT hash FROM identity_tokens WHERE expires_at <= $1 ORDER BY expires_at, hash LIMIT $2)`, tx.now.UnixMicro(), int64(limit))
	if err != nil {
		return fmt.Errorf("remove expired tokens: %w", err)
	}
	return nil
}
