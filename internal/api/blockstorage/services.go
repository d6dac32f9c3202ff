package blockstorage

import (
	"net/http"
	"time"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

func (f *face) serviceRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodGet, Pattern: "v3/os-services", Handler: f.listServices},
		{Method: http.MethodPut, Pattern: "v3/os-services/enable", Handler: f.enableService},
		{Method: http.MethodPut, Pattern: "v3/os-services/disable", Handler: f.disableService},
		{Method: http.MethodPut, Pattern: "v3/os-services/disable-log-reason", Handler: f.disableServiceWithReason},
	}
}

const volumeBinary = "cinder-volume"

func (f *face) listServices(w http.ResponseWriter, r *kit.Request) error {
	all, err := f.svc.Services(r.Context(), r.Caller)
	if err != nil {
		return err
	}
	binary, host := r.Query().Get("binary"), r.Query().Get("host")
	v := f.view(r)
	shown := make([]object, 0, len(all))
	for _, s := range all {
		if (binary == "" || s.Binary == binary) && (host == "" || s.Host == host) {
			shown = append(shown, v.service(s))
		}
	}
	return kit.WriteJSON(w, http.StatusOK, object{"services": shown})
}

func (v view) service(s service.ServiceInfo) object {
	o := object{
		"binary":          s.Binary,
		"host":            s.Host,
		"zone":            s.Zone,
		"status":          either(s.Enabled, "enabled", "disabled"),
		"state":           either(s.Up, "up", "down"),
		"updated_at":      timestamp(time.UnixMicro(s.UpdatedAt)),
		"disabled_reason": orNull(s.DisabledReason),
	}
	if v.version.AtLeast(serviceCluster) {
		o["cluster"] = nil
	}
	if s.Binary == volumeBinary {
		o["replication_status"] = "disabled"
		o["active_backend_id"] = nil
		o["frozen"] = false
		if v.version.AtLeast(serviceBackend) {
			o["backend_state"] = either(s.Up, "up", "down")
		}
	}
	return o
}

func either(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// serviceChange is what a request wants of a service.
type serviceChange struct {
	host    string
	service string // the older name of binary
	binary  string
	reason  string
}

// decodeServiceChange reads {"host":…,"binary":…}.
func decodeServiceChange(body *kit.Object, withReason bool) (serviceChange, error) {
	required := kit.TextRule{Min: 1, NotNull: true}
	c := serviceChange{
		host:    body.Text("host", required).Value,
		binary:  body.Text("binary", required).Value,
		service: body.Text("service", required).Value,
	}
	keys := []string{"host", "binary", "service", "cluster"}
	if withReason {
		c.reason = body.Text("disabled_reason", kit.TextRule{Min: 1, NotNull: true, Trim: true}).Value
		keys = append(keys, "disabled_reason")
	}
	body.Require("host")
	if !body.Has("service") {
		body.Require("binary")
	}
	body.Only(keys...)
	return c, body.Err()
}

func (f *face) enableService(w http.ResponseWriter, r *kit.Request) error {
	answer, err := f.changeService(r, true, false)
	if err != nil {
		return err
	}
	answer["disabled_reason"] = nil // there is none any more
	return kit.WriteJSON(w, http.StatusOK, answer)
}

func (f *face) disableService(w http.ResponseWriter, r *kit.Request) error {
	answer, err := f.changeService(r, false, false)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, answer)
}

func (f *face) disableServiceWithReason(w http.ResponseWriter, r *kit.Request) error {
	answer, err := f.changeService(r, false, true)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, answer)
}

func (f *face) changeService(r *kit.Request, enable, withReason bool) (object, error) {
	body, err := r.Object()
	if err != nil {
		return nil, err
	}
	c, err := decodeServiceChange(body, withReason)
	if err != nil {
		return nil, err
	}
	binary := c.binary
	if binary == "" {
		binary = c.service
	}
	info, err := f.svc.SetService(r.Context(), r.Caller, c.host, binary, enable, c.reason)
	if backup.KindOf(err) == backup.NotFound {
		return nil, notFound("Service %s could not be found on host %s.", clip(binary), clip(c.host))
	}
	if err != nil {
		return nil, err
	}
	answer := object{
		"host":     info.Host,
		"service":  c.service,
		"binary":   c.binary,
		"status":   either(info.Enabled, "enabled", "disabled"),
		"disabled": !info.Enabled,
	}
	if withReason {
		answer["disabled_reason"] = orNull(info.DisabledReason)
	}
	return answer, nil
}
