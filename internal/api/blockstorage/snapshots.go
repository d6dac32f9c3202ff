package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

func (f *face) snapshotRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodPost, Pattern: "v3/snapshots", Handler: f.createSnapshot},
		{Method: http.MethodGet, Pattern: "v3/snapshots", Handler: f.listSnapshots(view.snapshot)},
		{Method: http.MethodGet, Pattern: "v3/snapshots/detail", Handler: f.listSnapshots(view.snapshotDetail, "detail")},
		{Method: http.MethodGet, Pattern: "v3/snapshots/{id}", Handler: f.showSnapshot},
		{Method: http.MethodPut, Pattern: "v3/snapshots/{id}", Handler: f.updateSnapshot},
		{Method: http.MethodDelete, Pattern: "v3/snapshots/{id}", Handler: f.deleteSnapshot},
		{Method: http.MethodPost, Pattern: "v3/snapshots/{id}/action", Handler: actions(map[string]action{
			forceDelete: f.forceDeleteSnapshot,
			resetStatus: f.resetSnapshot,
		})},
	}
}

func (f *face) createSnapshot(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	n, err := decodeNewSnapshot(body, r.Version)
	if err != nil {
		return err
	}
	snap, err := f.svc.CreateSnapshot(r.Context(), r.Caller, n)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusAccepted, object{"snapshot": f.view(r).snapshot(snap)})
}

func (f *face) listSnapshots(show func(view, backup.Snapshot) object, path ...string) kit.Handler {
	return func(w http.ResponseWriter, r *kit.Request) error {
		l, asked, err := f.list(r, snapshotCollection)
		if err != nil {
			return err
		}
		page, err := f.svc.Snapshots(r.Context(), r.Caller, l)
		if err != nil {
			return in(inSnapshotList, err)
		}
		v := f.view(r)
		return kit.WriteJSON(w, http.StatusOK, listing(v, r, listed[backup.Snapshot]{
			of: snapshotCollection, path: path, asked: asked, page: page, count: l.Count,
			show: func(s backup.Snapshot) object { return show(v, s) }, id: snapshotID,
		}))
	}
}

func (f *face) showSnapshot(w http.ResponseWriter, r *kit.Request) error {
	snap, err := f.svc.Snapshot(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"snapshot": f.view(r).snapshotDetail(snap)})
}

func (f *face) updateSnapshot(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	u, err := decodeSnapshotUpdate(body)
	if err != nil {
		return err
	}
	snap, err := f.svc.UpdateSnapshot(r.Context(), r.Caller, r.Param("id"), u)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"snapshot": f.view(r).snapshot(snap)})
}

func (f *face) deleteSnapshot(w http.ResponseWriter, r *kit.Request) error {
	return f.removeSnapshot(w, r, false)
}

func (f *face) forceDeleteSnapshot(w http.ResponseWriter, r *kit.Request, _ *kit.Object) error {
	return f.removeSnapshot(w, r, true)
}

func (f *face) removeSnapshot(w http.ResponseWriter, r *kit.Request, force bool) error {
	if err := f.svc.DeleteSnapshot(r.Context(), r.Caller, r.Param("id"), force); err != nil {
		return err
	}
	return accepted(w)
}

func (f *face) resetSnapshot(w http.ResponseWriter, r *kit.Request, body *kit.Object) error {
	status, err := decodeStatus(body)
	if err != nil {
		return err
	}
	if err := f.svc.ResetSnapshot(r.Context(), r.Caller, r.Param("id"), status); err != nil {
		return err
	}
	return accepted(w)
}
