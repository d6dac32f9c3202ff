package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

func (f *face) quotaRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodGet, Pattern: "v3/limits", Handler: f.showLimits},
		{Method: http.MethodGet, Pattern: "v3/os-quota-sets/{project}", Handler: f.showQuotas},
		{Method: http.MethodPut, Pattern: "v3/os-quota-sets/{project}", Handler: f.updateQuotas},
		{Method: http.MethodDelete, Pattern: "v3/os-quota-sets/{project}", Handler: f.deleteQuotas},
		{Method: http.MethodGet, Pattern: "v3/os-quota-sets/{project}/defaults", Handler: f.showQuotaDefaults},
		{Method: http.MethodGet, Pattern: "v3/os-quota-class-sets/{class}", Handler: f.showQuotaClass},
	}
}

// showLimits answers the caller's project's limits; from 3.39 on an admin
// may name another project.
func (f *face) showLimits(w http.ResponseWriter, r *kit.Request) error {
	var all service.Usages
	var err error
	if project := r.Query().Get("project_id"); project != "" && r.Version.AtLeast(limitsOfProject) && f.svc.MayAdmin(r.Caller) {
		all, err = f.svc.Quotas(r.Context(), r.Caller, project)
	} else {
		all, err = f.svc.Limits(r.Context(), r.Caller)
	}
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"limits": object{"rate": []object{}, "absolute": absoluteLimits(all)}})
}

func absoluteLimits(all service.Usages) object {
	return object{
		"maxTotalVolumes":          all[backup.QuotaVolumes].Limit,
		"maxTotalVolumeGigabytes":  all[backup.QuotaGigabytes].Limit,
		"maxTotalSnapshots":        all[backup.QuotaSnapshots].Limit,
		"maxTotalBackups":          all[backup.QuotaBackups].Limit,
		"maxTotalBackupGigabytes":  all[backup.QuotaBackupGigabytes].Limit,
		"totalVolumesUsed":         all[backup.QuotaVolumes].InUse,
		"totalGigabytesUsed":       all[backup.QuotaGigabytes].InUse,
		"totalSnapshotsUsed":       all[backup.QuotaSnapshots].InUse,
		"totalBackupsUsed":         all[backup.QuotaBackups].InUse,
		"totalBackupGigabytesUsed": all[backup.QuotaBackupGigabytes].InUse,
	}
}

func (f *face) showQuotas(w http.ResponseWriter, r *kit.Request) error {
	usage, err := r.QueryBool("usage")
	if err != nil {
		return err
	}
	project := r.Param("project")
	all, err := f.svc.Quotas(r.Context(), r.Caller, project)
	if err != nil {
		return err
	}
	set := object{"id": project}
	for key, u := range all {
		if usage {
			set[key] = object{"limit": u.Limit, "in_use": u.InUse, "reserved": u.Reserved}
		} else {
			set[key] = u.Limit
		}
	}
	return kit.WriteJSON(w, http.StatusOK, object{"quota_set": set})
}

func (f *face) showQuotaDefaults(w http.ResponseWriter, r *kit.Request) error {
	project := r.Param("project")
	set, err := f.quotaDefaults(r, project, project)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"quota_set": set})
}

// showQuotaClass answers any class alike: there is one set of defaults.
func (f *face) showQuotaClass(w http.ResponseWriter, r *kit.Request) error {
	set, err := f.quotaDefaults(r, r.Caller.ProjectID, r.Param("class"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"quota_class_set": set})
}

func (f *face) quotaDefaults(r *kit.Request, project, id string) (object, error) {
	limits, err := f.svc.QuotaDefaults(r.Context(), r.Caller, project)
	if err != nil {
		return nil, err
	}
	set := quotaLimits(limits)
	set["id"] = id
	return set, nil
}

func quotaLimits(limits map[string]int64) object {
	set := make(object, len(limits)+1)
	for key, limit := range limits {
		set[key] = limit
	}
	return set
}

// updateQuotas answers without an id, as Cinder does.
func (f *face) updateQuotas(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	set, err := decodeQuotas(body)
	if err != nil {
		return err
	}
	limits, err := f.svc.SetQuotas(r.Context(), r.Caller, r.Param("project"), set, false)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"quota_set": quotaLimits(limits)})
}

// decodeQuotas reads {"quota_set":{…}}. Clients may send back what they got,
// so the project's id is passed over.
func decodeQuotas(body *kit.Object) (map[string]int64, error) {
	o := body.Child("quota_set")
	set := map[string]int64{}
	for _, key := range o.Keys() {
		if key != "id" && key != "tenant_id" {
			set[key] = o.Int(key, kit.IntRule{Min: -1, NotNull: true}).Value
		}
	}
	if len(o.Keys()) == 0 {
		o.Fail(badRequest("Invalid input for field/attribute quota_set. Value: {}. {} does not have enough properties"))
	}
	body.Only("quota_set")
	return set, o.Err()
}

func (f *face) deleteQuotas(w http.ResponseWriter, r *kit.Request) error {
	if err := f.svc.ResetQuotas(r.Context(), r.Caller, r.Param("project")); err != nil {
		return err
	}
	return done(w)
}
