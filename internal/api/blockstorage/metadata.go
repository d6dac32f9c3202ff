package blockstorage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

// metadata serves the metadata of one kind of resource, below the resource.
type metadata struct {
	kind   string // as texts call it
	etags  bool   // from 3.15 on, answers carry a tag and changes may ask for it
	get    func(ctx context.Context, c backup.Caller, id string) (map[string]string, error)
	set    func(ctx context.Context, c backup.Caller, id string, meta map[string]string, replace bool) (map[string]string, error)
	remove func(ctx context.Context, c backup.Caller, id, key string) error
}

func (f *face) metadataRoutes() []kit.Route {
	volumes := metadata{
		kind: "Volume", etags: true, set: f.svc.SetVolumeMetadata, remove: f.svc.DeleteVolumeMetadata,
		get: func(ctx context.Context, c backup.Caller, id string) (map[string]string, error) {
			vol, err := f.svc.Volume(ctx, c, id)
			return vol.Metadata, err
		},
	}
	snapshots := metadata{
		kind: "Snapshot", set: f.svc.SetSnapshotMetadata, remove: f.svc.DeleteSnapshotMetadata,
		get: func(ctx context.Context, c backup.Caller, id string) (map[string]string, error) {
			snap, err := f.svc.Snapshot(ctx, c, id)
			return snap.Metadata, err
		},
	}
	return append(volumes.routes("v3/volumes/{id}/metadata"), snapshots.routes("v3/snapshots/{id}/metadata")...)
}

func (m metadata) routes(pattern string) []kit.Route {
	return []kit.Route{
		{Method: http.MethodGet, Pattern: pattern, Handler: m.showAll},
		{Method: http.MethodPost, Pattern: pattern, Handler: m.merge},
		{Method: http.MethodPut, Pattern: pattern, Handler: m.replace},
		{Method: http.MethodGet, Pattern: pattern + "/{key}", Handler: m.showOne},
		{Method: http.MethodPut, Pattern: pattern + "/{key}", Handler: m.setOne},
		{Method: http.MethodDelete, Pattern: pattern + "/{key}", Handler: m.deleteOne},
	}
}

func (m metadata) showAll(w http.ResponseWriter, r *kit.Request) error {
	meta, err := m.get(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	if m.tagged(r) {
		tag, err := etag(meta)
		if err != nil {
			return err
		}
		w.Header().Set("ETag", `"`+tag+`"`)
	}
	return kit.WriteJSON(w, http.StatusOK, object{"metadata": orEmpty(meta)})
}

func (m metadata) merge(w http.ResponseWriter, r *kit.Request) error { return m.setAll(w, r, false) }

func (m metadata) replace(w http.ResponseWriter, r *kit.Request) error {
	if err := m.unchanged(r); err != nil {
		return err
	}
	return m.setAll(w, r, true)
}

func (m metadata) setAll(w http.ResponseWriter, r *kit.Request, replace bool) error {
	body, err := r.Object()
	if err != nil {
		return err
	}
	meta := body.Metadata("metadata", kit.MetadataRule{NotNull: true}).Value
	body.Require("metadata")
	body.Only("metadata")
	if err := body.Err(); err != nil {
		return err
	}
	all, err := m.set(r.Context(), r.Caller, r.Param("id"), meta, replace)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"metadata": orEmpty(all)})
}

func (m metadata) showOne(w http.ResponseWriter, r *kit.Request) error {
	id, key := r.Param("id"), r.Param("key")
	meta, err := m.get(r.Context(), r.Caller, id)
	if err != nil {
		return err
	}
	value, ok := meta[key]
	if !ok {
		return m.noKey(id, key)
	}
	return kit.WriteJSON(w, http.StatusOK, object{"meta": object{key: value}})
}

func (m metadata) setOne(w http.ResponseWriter, r *kit.Request) error {
	if err := m.unchanged(r); err != nil {
		return err
	}
	body, err := r.Object()
	if err != nil {
		return err
	}
	meta := body.Metadata("meta", kit.MetadataRule{NotNull: true}).Value
	body.Require("meta")
	body.Only("meta")
	if err := body.Err(); err != nil {
		return err
	}
	key := r.Param("key")
	if _, ok := meta[key]; !ok {
		return badRequest("Request body and URI mismatch")
	}
	if len(meta) > 1 {
		return badRequest("Request body contains too many items")
	}
	if _, err := m.set(r.Context(), r.Caller, r.Param("id"), meta, false); err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, object{"meta": meta})
}

func (m metadata) deleteOne(w http.ResponseWriter, r *kit.Request) error {
	id, key := r.Param("id"), r.Param("key")
	err := m.remove(r.Context(), r.Caller, id, key)
	if backup.ReasonOf(err) == backup.KeyNotFound {
		return m.noKey(id, key)
	}
	if err != nil {
		return err
	}
	return done(w)
}

func (m metadata) noKey(id, key string) error {
	return notFound("%s %s has no metadata with key %s.", m.kind, id, clip(key))
}

func (m metadata) tagged(r *kit.Request) bool { return m.etags && r.Version.AtLeast(metadataETags) }

// unchanged fails with 412 where the metadata is no longer what the
// request's If-Match names.
func (m metadata) unchanged(r *kit.Request) error {
	asked := r.Header.Get("If-Match")
	if asked == "" || asked == "*" || !m.tagged(r) {
		return nil
	}
	meta, err := m.get(r.Context(), r.Caller, r.Param("id"))
	if err != nil {
		return err
	}
	tag, err := etag(meta)
	if err != nil {
		return err
	}
	for one := range strings.SplitSeq(asked, ",") {
		if strings.Trim(strings.TrimSpace(one), `"`) == tag {
			return nil
		}
	}
	return fault(http.StatusPreconditionFailed, "The metadata has changed since it was read.")
}

func etag(meta map[string]string) (string, error) {
	body, err := kit.Encode(orEmpty(meta))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16]), nil
}
