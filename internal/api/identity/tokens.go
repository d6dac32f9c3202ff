package identity

import (
	"net/http"
	"time"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	core "holdfast/internal/identity"
)

// subjectHeader names the token that a request is about.
const subjectHeader = "X-Subject-Token"

// timeForm is how Keystone writes times: always six digits, always zero.
const timeForm = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string { return t.UTC().Format(timeForm) }

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type inDomain struct {
	Domain named `json:"domain"`
	named
}

type tokenUser struct {
	inDomain
	PasswordExpiresAt *string `json:"password_expires_at"`
}

type tokenView struct {
	Methods   []string        `json:"methods"`
	User      tokenUser       `json:"user"`
	AuditIDs  []string        `json:"audit_ids"`
	ExpiresAt string          `json:"expires_at"`
	IssuedAt  string          `json:"issued_at"`
	Project   *inDomain       `json:"project,omitempty"`
	IsDomain  *bool           `json:"is_domain,omitempty"`
	Roles     []named         `json:"roles,omitempty"`
	Catalog   *[]catalogEntry `json:"catalog,omitempty"`
}

var theDomain = named{ID: core.DomainID, Name: core.DomainName}

// view returns a token as Keystone shows it: with project, roles and catalog
// only if it has a scope.
func (f *face) view(r *kit.Request, t core.Token) tokenView {
	v := tokenView{
		Methods: t.Methods, AuditIDs: t.AuditIDs,
		User:      tokenUser{inDomain: inDomain{theDomain, named{t.UserID, t.UserName}}},
		ExpiresAt: stamp(t.ExpiresAt), IssuedAt: stamp(t.IssuedAt),
	}
	if t.ProjectID == "" {
		return v
	}
	v.Project = &inDomain{theDomain, named{t.ProjectID, t.ProjectName}}
	v.IsDomain = new(bool)
	for _, role := range t.Roles {
		v.Roles = append(v.Roles, named{roleID(role), role})
	}
	if !r.Query().Has("nocatalog") {
		c := f.catalog(t.ProjectID)
		v.Catalog = &c
	}
	return v
}

func (f *face) writeToken(w http.ResponseWriter, r *kit.Request, status int, secret string, t core.Token) error {
	h := w.Header()
	h.Set(subjectHeader, secret)
	h.Set("Vary", kit.TokenHeader)
	h.Set("Cache-Control", "no-store")
	return kit.WriteJSON(w, status, map[string]tokenView{"token": f.view(r, t)})
}

// login is POST /v3/auth/tokens.
func (f *face) login(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	credentials, err := decodeLogin(body)
	if err != nil {
		return err
	}
	credentials.Client = r.Client
	secret, t, err := f.Identity.Login(r.Context(), credentials)
	if err != nil {
		return fault(err)
	}
	return f.writeToken(w, r, http.StatusCreated, secret, t)
}

// subject returns the token that a request is about, if the caller may know
// it: its owner's or an admin's.
func (f *face) subject(r *kit.Request, rule string) (secret string, t core.Token, err error) {
	secret = r.Header.Get(subjectHeader)
	if secret == "" {
		return "", t, backup.Errorf(backup.Invalid, "Expecting to find %s in the headers.", subjectHeader)
	}
	if t, err = f.lookup(r.Context(), secret); err != nil {
		return "", t, err
	}
	if !selfOrAdmin(r.Caller, t.UserID) {
		return "", core.Token{}, forbidden(rule)
	}
	return secret, t, nil
}

func (f *face) showToken(w http.ResponseWriter, r *kit.Request) error {
	secret, t, err := f.subject(r, "validate_token")
	if err != nil {
		return err
	}
	return f.writeToken(w, r, http.StatusOK, secret, t)
}

func (f *face) checkToken(w http.ResponseWriter, r *kit.Request) error {
	secret, _, err := f.subject(r, "check_token")
	if err != nil {
		return err
	}
	w.Header().Set(subjectHeader, secret)
	w.Header().Set("Vary", kit.TokenHeader)
	return kit.WriteEmpty(w, http.StatusOK)
}

func (f *face) revokeToken(w http.ResponseWriter, r *kit.Request) error {
	secret, _, err := f.subject(r, "revoke_token")
	if err != nil {
		return err
	}
	if err := f.Identity.Revoke(r.Context(), secret); err != nil {
		return err
	}
	return kit.WriteEmpty(w, http.StatusNoContent)
}
