package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

func (f *face) backupRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodPost, Pattern: "v3/backups", Handler: f.createBackup},
		{Method: http.MethodGet, Pattern: "v3/backups", Handler: f.listBackups(view.backupSummary)},
		{Method: http.MethodGet, Pattern: "v3/backups/detail", Handler: f.listBackups(view.backupDetail, "detail")},
		{Method: http.MethodGet, Pattern: "v3/backups/{id}", Handler: f.showBackup},
		{Method: http.MethodPut, Pattern: "v3/backups/{id}", Since: backupUpdate, Handler: f.updateBackup},
		{Method: http.MethodDelete, Pattern: "v3/backups/{id}", Handler: f.deleteBackup},
		{Method: http.MethodPost, Pattern: "v3/backups/{id}/restore", Handler: f.restoreBackup},
		{Method: http.MethodPost, Pattern: "v3/backups/{id}/action", Handler: actions(map[string]action{
			forceDelete: f.forceDeleteBackup,
			resetStatus: f.resetBackup,
		})},
	}
}

// createBackup also answers with the address of the backup, which the API
// reference promises and Cinder forgets.
func (f *face) createBackup(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	n, err := decodeNewBackup(body, r.Version)
	if err != nil {
		return err
	}
	b, err := f.svc.CreateBackup(r.Context(), r.Caller, n)
	if err != nil {
		return err
	}
	v := f.view(r)
	w.Header().Set("Location", v.self(backupCollection.name, b.ID))
	return kit.WriteJSON(w, http.StatusAccepted, object{"backup": v.backupSummary(b)})
}

func (f *face) listBackups(show func(view, backup.Backup) object, path ...string) kit.Handler {
	return func(w http.ResponseWriter, r *kit.Request) error {
		l, asked, err := f.list(r, backupCollection)
		if err != nil {
			return err
		}
		page, err := f.svc.Backups(r.Context(), r.Caller, l)
		if err != nil {
			return in(inBackupList, err)
		}
		v := f.view(r)
		return kit.WriteJSON(w, http.StatusOK, listing(v, r, listed[backup.Backup]{
			of: backupCollection, path: path, asked: asked, page: page, count: l.Count,
			show: func(b backup.Backup) object { return show(v, b) }, id: backupID,
		}))
	}
}

func (f *face) showBackup(w http.ResponseWriter, r *kit.Request) error {
	b, err := f.svc.Backup(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"backup": f.view(r).backupDetail(b)})
}

func (f *face) updateBackup(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	u, err := decodeBackupUpdate(body, r.Version)
	if err != nil {
		return err
	}
	b, err := f.svc.UpdateBackup(r.Context(), r.Caller, r.Param("id"), u)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"backup": f.view(r).backupSummary(b)})
}

func (f *face) restoreBackup(w http.ResponseWriter, r *kit.Request) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	ask, err := decodeRestore(body)
	if err != nil {
		return err
	}
	restored, err := f.svc.RestoreBackup(r.Context(), r.Caller, r.Param("id"), ask)
	if err != nil {
		return in(inRestore, err)
	}
	return kit.WriteJSON(w, http.StatusAccepted, object{"restore": restoreView(restored)})
}

func (f *face) deleteBackup(w http.ResponseWriter, r *kit.Request) error {
	return f.removeBackup(w, r, false)
}

func (f *face) forceDeleteBackup(w http.ResponseWriter, r *kit.Request, _ *kit.Object) error {
	return f.removeBackup(w, r, true)
}

func (f *face) removeBackup(w http.ResponseWriter, r *kit.Request, force bool) error {
	if err := f.svc.DeleteBackup(r.Context(), r.Caller, r.Param("id"), force); err != nil {
		return err
	}
	return accepted(w)
}

func (f *face) resetBackup(w http.ResponseWriter, r *kit.Request, body *kit.Object) error {
	status, err := decodeStatus(body)
	if err != nil {
		return err
	}
	if err := f.svc.ResetBackup(r.Context(), r.Caller, r.Param("id"), status); err != nil {
		return err
	}
	return accepted(w)
}
