package blockstorage

import (
	"maps"
	"net/http"
	"slices"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

func (f *face) volumeRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodPost, Pattern: "v3/volumes", Handler: f.createVolume},
		{Method: http.MethodGet, Pattern: "v3/volumes", Handler: f.listVolumes(view.volumeSummary)},
		{Method: http.MethodGet, Pattern: "v3/volumes/detail", Handler: f.listVolumes(view.volumeDetail, "detail")},
		{Method: http.MethodGet, Pattern: "v3/volumes/summary", Since: volumeSummaryRoute, Handler: f.summarizeVolumes},
		{Method: http.MethodGet, Pattern: "v3/volumes/{id}", Handler: f.showVolume},
		{Method: http.MethodPut, Pattern: "v3/volumes/{id}", Handler: f.updateVolume},
		{Method: http.MethodDelete, Pattern: "v3/volumes/{id}", Handler: f.deleteVolume},
		{Method: http.MethodPost, Pattern: "v3/volumes/{id}/action", Handler: actions(map[string]action{
			"os-extend":       f.extendVolume,
			"os-set_bootable": f.setBootable,
			forceDelete:       f.forceDeleteVolume,
			resetStatus:       f.resetVolume,
		})},
	}
}

// volumeView is the view of requests that show volumes: from 3.63 on that
// takes the ids of their types.
func (f *face) volumeView(r *kit.Request) (view, error) {
	v := f.view(r)
	if !r.Version.AtLeast(volumeTypeID) {
		return v, nil
	}
	types, err := f.svc.Types(r.Context(), r.Caller)
	v.typeIDs = make(map[string]string, len(types))
	for _, t := range types {
		v.typeIDs[t.Name] = t.ID
	}
	return v, err
}

func (f *face) createVolume(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	n, err := decodeNewVolume(body, r.Version)
	if err != nil {
		return err
	}
	v, err := f.volumeView(r)
	if err != nil {
		return err
	}
	vol, err := f.svc.CreateVolume(r.Context(), r.Caller, n)
	if err != nil {
		return in(inVolumeCreate, err)
	}
	return kit.WriteJSON(w, http.StatusAccepted, object{"volume": v.volume(vol)})
}

func (f *face) listVolumes(show func(view, backup.Volume) object, path ...string) kit.Handler {
	return func(w http.ResponseWriter, r *kit.Request) error {
		l, asked, err := f.list(r, volumeCollection)
		if err != nil {
			return err
		}
		v, err := f.volumeView(r)
		if err != nil {
			return err
		}
		page, err := f.svc.Volumes(r.Context(), r.Caller, l)
		if err != nil {
			return in(inVolumeList, err)
		}
		return kit.WriteJSON(w, http.StatusOK, listing(v, r, listed[backup.Volume]{
			of: volumeCollection, path: path, asked: asked, page: page, count: l.Count,
			show: func(vol backup.Volume) object { return show(v, vol) }, id: volumeID,
		}))
	}
}

func (f *face) summarizeVolumes(w http.ResponseWriter, r *kit.Request) error {
	all, err := r.QueryBool("all_tenants")
	if err != nil {
		return err
	}
	count, size, err := f.svc.VolumeSummary(r.Context(), r.Caller, all)
	if err != nil {
		return err
	}
	summary := object{"total_count": count, "total_size": size}
	if r.Version.AtLeast(summaryMetadata) {
		if summary["metadata"], err = f.distinctMetadata(r, all); err != nil {
			return err
		}
	}
	return kit.WriteJSON(w, http.StatusOK, object{"volume-summary": summary})
}

// distinctMetadata returns the values that each metadata key has among the
// volumes.
func (f *face) distinctMetadata(r *kit.Request, all bool) (map[string][]string, error) {
	seen := map[string]map[string]bool{}
	l := service.List{AllProjects: all, Limit: kit.MaxPage, Sort: []service.Sort{{Field: "id"}}}
	for {
		page, err := f.svc.Volumes(r.Context(), r.Caller, l)
		if err != nil {
			return nil, err
		}
		for _, vol := range page.Items {
			for k, v := range vol.Metadata {
				if seen[k] == nil {
					seen[k] = map[string]bool{}
				}
				seen[k][v] = true
			}
			l.Marker = vol.ID
		}
		if len(page.Items) < l.Limit {
			break
		}
	}
	distinct := make(map[string][]string, len(seen))
	for k, values := range seen {
		distinct[k] = slices.Sorted(maps.Keys(values))
	}
	return distinct, nil
}

func (f *face) showVolume(w http.ResponseWriter, r *kit.Request) error {
	v, err := f.volumeView(r)
	if err != nil {
		return err
	}
	vol, err := f.svc.Volume(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"volume": v.volumeDetail(vol)})
}

func (f *face) updateVolume(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	u, err := decodeVolumeUpdate(body, r.Version)
	if err != nil {
		return err
	}
	v, err := f.volumeView(r)
	if err != nil {
		return err
	}
	vol, err := f.svc.UpdateVolume(r.Context(), r.Caller, r.Param("id"), u)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"volume": v.volume(vol)})
}

func (f *face) deleteVolume(w http.ResponseWriter, r *kit.Request) error {
	var d service.Delete
	var err error
	if d.Cascade, err = r.QueryBool("cascade"); err != nil {
		return err
	}
	if r.Version.AtLeast(volumeDeleteForce) {
		if d.Force, err = r.QueryBool("force"); err != nil {
			return err
		}
	}
	if err := f.svc.DeleteVolume(r.Context(), r.Caller, r.Param("id"), d); err != nil {
		return err
	}
	return accepted(w)
}

func (f *face) extendVolume(w http.ResponseWriter, r *kit.Request, body *kit.Object) error {
	o := body.Child("os-extend")
	size := o.Int("new_size", kit.IntRule{Min: 1, NotNull: true}).Value
	o.Require("new_size")
	o.Only("new_size")
	if err := o.Err(); err != nil {
		return err
	}
	if err := f.svc.ExtendVolume(r.Context(), r.Caller, r.Param("id"), size); err != nil {
		return err
	}
	return accepted(w)
}

func (f *face) setBootable(w http.ResponseWriter, r *kit.Request, body *kit.Object) error {
	o := body.Child("os-set_bootable")
	bootable := o.Bool("bootable").Value
	o.Require("bootable")
	o.Only("bootable")
	if err := o.Err(); err != nil {
		return err
	}
	if err := f.svc.SetBootable(r.Context(), r.Caller, r.Param("id"), bootable); err != nil {
		return err
	}
	return done(w) // the one action that is not 202
}

func (f *face) forceDeleteVolume(w http.ResponseWriter, r *kit.Request, _ *kit.Object) error {
	if err := f.svc.DeleteVolume(r.Context(), r.Caller, r.Param("id"), service.Delete{Force: true}); err != nil {
		return err
	}
	return accepted(w)
}

func (f *face) resetVolume(w http.ResponseWriter, r *kit.Request, body *kit.Object) error {
	status, err := decodeVolumeStatus(body)
	if err != nil {
		return err
	}
	if err := f.svc.ResetVolume(r.Context(), r.Caller, r.Param("id"), status); err != nil {
		return err
	}
	return accepted(w)
}
