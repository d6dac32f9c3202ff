package config

import (
	"fmt"
	"time"
)

// check checks users, projects, and that one names the other.
func (d Identity) check() error {
	if err := between("identity.token_lifetime", d.TokenLifetime, time.Minute, 7*24*time.Hour); err != nil {
		return err
	}
	projects, err := d.checkProjects()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, u := range d.Users {
		key := fmt.Sprintf("identity.users[%d]", i)
		if err := u.check(key, projects); err != nil {
			return err
		}
		if seen[u.Name] {
			return badKey(key+".name", "%q is given twice", u.Name)
		}
		seen[u.Name] = true
	}
	return nil
}

func (d Identity) checkProjects() (map[string]bool, error) {
	names, ids := map[string]bool{}, map[string]bool{}
	for i, p := range d.Projects {
		key := fmt.Sprintf("identity.projects[%d]", i)
		if err := name(key+".name", p.Name); err != nil {
			return nil, err
		}
		if names[p.Name] {
			return nil, badKey(key+".name", "%q is given twice", p.Name)
		}
		names[p.Name] = true
		if p.ID == "" {
			continue
		}
		if !projectID.MatchString(p.ID) {
			return nil, badKey(key+".id", "%q is not 32 lower-case hex digits", p.ID)
		}
		if ids[p.ID] {
			return nil, badKey(key+".id", "%s is given twice", p.ID)
		}
		ids[p.ID] = true
	}
	return names, nil
}

func (u User) check(key string, projects map[string]bool) error {
	if err := name(key+".name", u.Name); err != nil {
		return err
	}
	hash, password := u.PasswordHash != "", u.PasswordFile != "" || u.Password != ""
	switch {
	case hash && password:
		return badKey(key, "has both password_hash and password_file: keep one of them")
	case !hash && !password:
		return badKey(key, "needs password_hash or password_file")
	case hash && !passwordHash.MatchString(u.PasswordHash.Reveal()):
		return badKey(key+".password_hash", "is not an argon2id hash of the form $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	seen := map[string]bool{}
	for i, g := range u.Projects {
		key := fmt.Sprintf("%s.projects[%d]", key, i)
		if err := g.check(key, projects); err != nil {
			return err
		}
		if seen[g.Name] {
			return badKey(key+".name", "%q is given twice", g.Name)
		}
		seen[g.Name] = true
	}
	return nil
}

func (g Grant) check(key string, projects map[string]bool) error {
	if !projects[g.Name] {
		return badKey(key+".name", "%q is not in identity.projects", g.Name)
	}
	if len(g.Roles) == 0 {
		return badKey(key+".roles", "must name at least one role")
	}
	for i, r := range g.Roles {
		if err := oneOf(fmt.Sprintf("%s.roles[%d]", key, i), r, RoleAdmin, RoleMember, RoleReader); err != nil {
			return err
		}
	}
	return nil
}
