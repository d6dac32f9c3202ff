package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
)

func (f *face) miscRoutes() []kit.Route {
	return []kit.Route{
		{Method: http.MethodGet, Pattern: "v3/os-availability-zone", Handler: f.listZones},
		{Method: http.MethodGet, Pattern: "v3/extensions", Handler: listExtensions},
		{Method: http.MethodGet, Pattern: "v3/extensions/{alias}", Handler: showExtension},
	}
}

func (f *face) listZones(w http.ResponseWriter, r *kit.Request) error {
	zones, err := f.svc.Zones(r.Context(), r.Caller)
	if err != nil {
		return err
	}
	shown := make([]object, 0, len(zones))
	for _, z := range zones {
		shown = append(shown, object{"zoneName": z, "zoneState": object{"available": true}})
	}
	return kit.WriteJSON(w, http.StatusOK, object{"availabilityZoneInfo": shown})
}

// extension is a part of the API that Cinder once could be without.
type extension struct {
	Alias       string     `json:"alias"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Updated     string     `json:"updated"`
	Links       []kit.Link `json:"links"`
}

// extensions are those that this face has, with Cinder's names and dates.
func extensions() []extension {
	none := []kit.Link{}
	return []extension{
		{"backups", "Backups", "Backups support.", "2012-12-12T00:00:00+00:00", none},
		{"os-admin-actions", "AdminActions", "Enable admin actions.", "2012-08-25T00:00:00+00:00", none},
		{"os-availability-zone", "AvailabilityZones", "Describe Availability Zones.", "2013-06-27T00:00:00+00:00", none},
		{"os-extended-services", "ExtendedServices", "Extended services support.", "2014-01-10T00:00:00-00:00", none},
		{
			"os-extended-snapshot-attributes", "ExtendedSnapshotAttributes", "Extended SnapshotAttributes support.",
			"2012-06-19T00:00:00+00:00", none,
		},
		{"os-quota-class-sets", "QuotaClasses", "Quota classes management support.", "2012-03-12T00:00:00+00:00", none},
		{"os-quota-sets", "Quotas", "Quota management support.", "2011-08-08T00:00:00+00:00", none},
		{"os-services", "Services", "Services support.", "2012-10-28T00:00:00-00:00", none},
		{"os-types-extra-specs", "TypesExtraSpecs", "Type extra specs support.", "2011-08-24T00:00:00+00:00", none},
		{"os-used-limits", "UsedLimits", "Provide data on limited resources that are being used.", "2013-10-03T00:00:00+00:00", none},
		{"os-vol-host-attr", "VolumeHostAttribute", "Expose host as an attribute of a volume.", "2011-11-03T00:00:00+00:00", none},
		{
			"os-vol-mig-status-attr", "VolumeMigStatusAttribute", "Expose migration_status as an attribute of a volume.",
			"2013-08-08T00:00:00+00:00", none,
		},
		{"os-vol-tenant-attr", "VolumeTenantAttribute", "Expose the internal project_id as an attribute of a volume.", "2011-11-03T00:00:00+00:00", none},
		{"os-volume-actions", "VolumeActions", "Enable volume actions.", "2012-05-31T00:00:00+00:00", none},
	}
}

func listExtensions(w http.ResponseWriter, _ *kit.Request) error {
	return kit.WriteJSON(w, http.StatusOK, object{"extensions": extensions()})
}

func showExtension(w http.ResponseWriter, r *kit.Request) error {
	for _, e := range extensions() {
		if e.Alias == r.Param("alias") {
			return kit.WriteJSON(w, http.StatusOK, object{"extension": e})
		}
	}
	return notFound("The resource could not be found.")
}
