package identity

import (
	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	core "holdfast/internal/identity"
)

// fields is a JSON object of a login. Its errors name keys and never values:
// they may be passwords.
type fields map[string]any

// maxName is the longest name of a user, project or domain, in bytes.
const maxName = 255

func bad(format string, args ...any) error {
	return backup.Errorf(backup.Invalid, format, args...)
}

// child returns the object under a key; ok is false where the key is absent.
func (f fields) child(key string) (child fields, ok bool, err error) {
	v, ok := f[key]
	if !ok {
		return nil, false, nil
	}
	child, isObject := v.(map[string]any)
	if !isObject {
		return nil, true, bad("Invalid input for field '%s': it is not an object.", key)
	}
	return child, true, nil
}

// need is child for a key that must be there.
func (f fields) need(key, in string) (fields, error) {
	child, ok, err := f.child(key)
	if err == nil && !ok {
		err = bad("Expecting to find %s in %s.", key, in)
	}
	return child, err
}

// text returns a string; absent and null are empty.
func (f fields) text(key string, limit int) (string, error) {
	v, ok := f[key]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok || len(s) > limit {
		return "", bad("Invalid input for field '%s': it is not a string of at most %d bytes.", key, limit)
	}
	return s, nil
}

// decodeLogin reads the body of POST /v3/auth/tokens. Keys that Keystone
// knows and Holdfast does not are ignored, as Keystone ignores unknown ones.
func decodeLogin(body *kit.Object) (core.Credentials, error) {
	top := fields{}
	if raw, ok := body.Raw("auth"); ok {
		top["auth"] = raw
	}
	auth, err := top.need("auth", "the request body")
	if err != nil {
		return core.Credentials{}, err
	}
	identity, err := auth.need("identity", "auth")
	if err != nil {
		return core.Credentials{}, err
	}
	var c core.Credentials
	method, err := loginMethod(identity)
	if err != nil {
		return c, err
	}
	if method == "token" {
		err = decodeToken(identity, &c)
	} else {
		err = decodePassword(identity, &c)
	}
	if err != nil {
		return c, err
	}
	c.Scope, err = decodeScope(auth)
	return c, err
}

// loginMethod returns the one method of a login.
func loginMethod(identity fields) (string, error) {
	methods, ok := identity["methods"].([]any)
	if !ok || len(methods) == 0 {
		return "", bad("Expecting to find methods in identity.")
	}
	first, _ := methods[0].(string)
	for _, m := range methods {
		// A method named twice is one; two methods would be several factors.
		if name, _ := m.(string); name != first || name != "password" && name != "token" {
			return "", backup.Errorf(backup.Unauthorized, "Attempted to authenticate with an unsupported method.")
		}
	}
	return first, nil
}

func decodeToken(identity fields, c *core.Credentials) error {
	token, err := identity.need("token", "identity")
	if err != nil {
		return err
	}
	if c.Token, err = token.text("id", 1024); err != nil {
		return err
	}
	if c.Token == "" {
		return bad("Expecting to find id in token.")
	}
	return nil
}

func decodePassword(identity fields, c *core.Credentials) error {
	password, err := identity.need("password", "identity")
	if err != nil {
		return err
	}
	user, err := password.need("user", "password")
	if err != nil {
		return err
	}
	if _, ok := user["password"].(string); !ok {
		return bad("Expecting to find password in user.")
	}
	if c.Password, err = user.text("password", core.MaxPassword); err != nil {
		return err
	}
	c.User, err = decodeRef(user, "user")
	return err
}

// decodeRef reads what names a user or project: an id, or a name and a
// domain.
func decodeRef(f fields, what string) (ref core.Ref, err error) {
	if ref.ID, err = f.text("id", maxName); err != nil {
		return ref, err
	}
	if ref.Name, err = f.text("name", maxName); err != nil {
		return ref, err
	}
	if ref.ID == "" && ref.Name == "" {
		return ref, bad("Expecting to find id or name in %s.", what)
	}
	domain, ok, err := f.child("domain")
	if err != nil || !ok {
		if err == nil && ref.ID == "" {
			err = bad("Expecting to find domain in %s.", what)
		}
		return ref, err
	}
	if ref.DomainID, err = domain.text("id", maxName); err != nil {
		return ref, err
	}
	ref.DomainName, err = domain.text("name", maxName)
	if err == nil && ref.ID == "" && ref.DomainID == "" && ref.DomainName == "" {
		err = bad("Expecting to find id or name in domain.")
	}
	return ref, err
}

// decodeScope reads what a token is wanted for: a project, or nothing
// ("unscoped" as a word or as an object). Anything else is a scope in which
// nobody has a role.
func decodeScope(auth fields) (core.Scope, error) {
	raw, ok := auth["scope"]
	if !ok || raw == nil || raw == "unscoped" {
		return core.Scope{}, nil
	}
	scope, _, err := auth.child("scope")
	if err != nil {
		return core.Scope{}, err
	}
	if len(scope) != 1 {
		return core.Scope{}, bad("Expecting one of project, domain, system and unscoped in scope.")
	}
	if _, ok := scope["unscoped"]; ok {
		return core.Scope{}, nil
	}
	project, ok, err := scope.child("project")
	if err != nil || !ok {
		return core.Scope{Elsewhere: true}, err
	}
	ref, err := decodeRef(project, "project")
	return core.Scope{Project: &ref}, err
}
