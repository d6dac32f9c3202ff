package blockstorage

import (
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

func (f *face) typeRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodGet, Pattern: "v3/types", Handler: f.listTypes},
		{Method: http.MethodGet, Pattern: "v3/types/default", Handler: f.showDefaultType},
		{Method: http.MethodGet, Pattern: "v3/types/{id}", Handler: f.showType},
		{Method: http.MethodGet, Pattern: "v3/types/{id}/extra_specs", Handler: f.listExtraSpecs},
		{Method: http.MethodGet, Pattern: "v3/types/{id}/extra_specs/{key}", Handler: f.showExtraSpec},
	}
}

func (f *face) listTypes(w http.ResponseWriter, r *kit.Request) error {
	page, err := r.Page()
	if err != nil {
		return err
	}
	wanted, err := f.typeFilter(r)
	if err != nil {
		return err
	}
	types, err := f.svc.Types(r.Context(), r.Caller)
	if err != nil {
		return err
	}
	types, err = typePage(slices.DeleteFunc(slices.Clone(types), func(t backup.VolumeType) bool { return !wanted(t) }), page)
	if err != nil {
		return err
	}
	v := f.view(r)
	shown := make([]object, 0, len(types))
	for _, t := range types {
		shown = append(shown, v.volumeType(t))
	}
	answer := object{"volume_types": shown}
	if n := len(types); n > 0 {
		if next := r.NextLinks(page, v.self("types"), types[n-1].ID, n); len(next) > 0 {
			answer["volume_type_links"] = next
		}
	}
	return kit.WriteJSON(w, http.StatusOK, answer)
}

// typeFilter returns which types the caller sees in the list: the public
// ones, and for admins what is_public says, where "none" is all.
func (f *face) typeFilter(r *kit.Request) (func(backup.VolumeType) bool, error) {
	text := r.Query().Get("is_public")
	if text == "" || !f.svc.MayAdmin(r.Caller) {
		return func(t backup.VolumeType) bool { return t.Public }, nil
	}
	if strings.EqualFold(text, "none") {
		return func(backup.VolumeType) bool { return true }, nil
	}
	public, ok := kit.ParseBool(text)
	if !ok {
		return nil, badRequest("Invalid is_public filter [%s]", clip(text))
	}
	return func(t backup.VolumeType) bool { return t.Public == public }, nil
}

// typePage cuts a page out of the types, of which there are few.
func typePage(types []backup.VolumeType, p kit.Page) ([]backup.VolumeType, error) {
	if p.Marker != "" {
		i := slices.IndexFunc(types, func(t backup.VolumeType) bool { return t.ID == p.Marker })
		if i < 0 {
			return nil, notFound("Volume type %s could not be found.", clip(p.Marker))
		}
		types = types[i+1:]
	}
	types = types[min(p.Offset, len(types)):]
	return types[:min(p.Limit, len(types))], nil
}

func (f *face) showDefaultType(w http.ResponseWriter, r *kit.Request) error {
	t, err := f.svc.DefaultType(r.Context(), r.Caller)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"volume_type": f.view(r).volumeType(t)})
}

func (f *face) showType(w http.ResponseWriter, r *kit.Request) error {
	t, err := f.svc.Type(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"volume_type": f.view(r).volumeType(t)})
}

func (f *face) listExtraSpecs(w http.ResponseWriter, r *kit.Request) error {
	t, err := f.svc.Type(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"extra_specs": f.view(r).extraSpecs(t)})
}

func (f *face) showExtraSpec(w http.ResponseWriter, r *kit.Request) error {
	t, err := f.svc.Type(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	key := r.Param("key")
	value, ok := f.view(r).extraSpecs(t)[key]
	if !ok {
		return notFound("Volume Type %s has no extra specs with key %s.", t.ID, clip(key))
	}
	return kit.WriteJSON(w, http.StatusOK, object{key: value})
}

func (v view) volumeType(t backup.VolumeType) object {
	o := object{
		"id":                              t.ID,
		"name":                            t.Name,
		"description":                     orNull(t.Description),
		"is_public":                       t.Public,
		"os-volume-type-access:is_public": t.Public,
		"extra_specs":                     v.extraSpecs(t),
	}
	if v.admin {
		o["qos_specs_id"] = nil
	}
	return o
}

// visibleSpecs are the extra specs that everyone may see; the others tell
// what an installation is built of.
var visibleSpecs = []string{"RESKEY:availability_zones", "multiattach", "replication_enabled"}

func (v view) extraSpecs(t backup.VolumeType) map[string]string {
	specs := make(map[string]string, len(t.ExtraSpecs))
	for key, value := range t.ExtraSpecs {
		if v.admin || slices.Contains(visibleSpecs, key) {
			specs[key] = value
		}
	}
	return specs
}
