package identity

import (
	"net/http"

	"holdfast/internal/api/kit"
)

// Who may read what: admins all, others themselves and their own projects.

func (f *face) listUsers(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_users")
	}
	users, err := f.Identity.Users(r.Context())
	if err != nil {
		return err
	}
	var views []userView
	for _, u := range users {
		views = append(views, f.user(u))
	}
	return f.writeList(w, "users", "users", filtered(r, views, func(u userView) map[string]string {
		return map[string]string{"name": u.Name, "domain_id": u.DomainID}
	}))
}

func (f *face) showUser(w http.ResponseWriter, r *kit.Request) error {
	id := r.Param("id")
	if !selfOrAdmin(r.Caller, id) {
		return forbidden("get_user")
	}
	u, err := f.Identity.User(r.Context(), id)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, map[string]userView{"user": f.user(u)})
}

func (f *face) userProjects(w http.ResponseWriter, r *kit.Request) error {
	id := r.Param("id")
	if !selfOrAdmin(r.Caller, id) {
		return forbidden("list_user_projects")
	}
	if _, err := f.Identity.User(r.Context(), id); err != nil {
		return err
	}
	return f.projectsOf(w, r, "users/"+id+"/projects", id)
}

// ownProjects is GET /v3/auth/projects: where the caller could scope to.
func (f *face) ownProjects(w http.ResponseWriter, r *kit.Request) error {
	return f.projectsOf(w, r, "auth/projects", r.Caller.UserID)
}

func (f *face) listProjects(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_projects")
	}
	return f.projectsOf(w, r, "projects", "")
}

func (f *face) projectsOf(w http.ResponseWriter, r *kit.Request, path, user string) error {
	projects, err := f.Identity.Projects(r.Context(), user)
	if err != nil {
		return err
	}
	var views []projectView
	for _, p := range projects {
		views = append(views, f.project(p))
	}
	return f.writeList(w, path, "projects", filtered(r, views, func(p projectView) map[string]string {
		return map[string]string{"name": p.Name, "domain_id": p.DomainID, "parent_id": *p.ParentID}
	}))
}

func (f *face) showProject(w http.ResponseWriter, r *kit.Request) error {
	id := r.Param("id")
	if !r.Caller.Admin() && id != r.Caller.ProjectID {
		return forbidden("get_project")
	}
	p, err := f.Identity.Project(r.Context(), id)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, map[string]projectView{"project": f.project(p)})
}

// ownDomains is GET /v3/auth/domains: nobody has a role in the domain itself.
func (f *face) ownDomains(w http.ResponseWriter, _ *kit.Request) error {
	return f.writeList(w, "auth/domains", "domains", []domainView{})
}

func (f *face) listDomains(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_domains")
	}
	return f.writeList(w, "domains", "domains", filtered(r, []domainView{f.domain()}, func(d domainView) map[string]string {
		return map[string]string{"name": d.Name}
	}))
}

// showDomain is open to all: there is one domain, and every token names it.
func (f *face) showDomain(w http.ResponseWriter, r *kit.Request) error {
	return writeOne(w, "domain", r.Param("id"), []domainView{f.domain()}, func(d domainView) string { return d.ID })
}

func (f *face) listRoles(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_roles")
	}
	return f.writeList(w, "roles", "roles", filtered(r, f.roles(), func(v roleView) map[string]string {
		return map[string]string{"name": v.Name}
	}))
}

func (f *face) showRole(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("get_role")
	}
	return writeOne(w, "role", r.Param("id"), f.roles(), func(v roleView) string { return v.ID })
}

func (f *face) listServices(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_services")
	}
	return f.writeList(w, "services", "services", filtered(r, f.services(), func(v serviceView) map[string]string {
		return map[string]string{"name": v.Name, "type": v.Type}
	}))
}

func (f *face) showService(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("get_service")
	}
	return writeOne(w, "service", r.Param("id"), f.services(), func(v serviceView) string { return v.ID })
}

func (f *face) listEndpoints(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("list_endpoints")
	}
	return f.writeList(w, "endpoints", "endpoints", filtered(r, f.endpoints(), func(v endpointView) map[string]string {
		return map[string]string{"interface": v.Interface, "service_id": v.ServiceID, "region_id": v.RegionID}
	}))
}

func (f *face) showEndpoint(w http.ResponseWriter, r *kit.Request) error {
	if !r.Caller.Admin() {
		return forbidden("get_endpoint")
	}
	return writeOne(w, "endpoint", r.Param("id"), f.endpoints(), func(v endpointView) string { return v.ID })
}

// Regions can be read by all in Keystone too.

func (f *face) listRegions(w http.ResponseWriter, _ *kit.Request) error {
	return f.writeList(w, "regions", "regions", f.regions())
}

func (f *face) showRegion(w http.ResponseWriter, r *kit.Request) error {
	return writeOne(w, "region", r.Param("id"), f.regions(), func(v regionView) string { return v.ID })
}
