package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
)

// The microversions that change what this face does
// (https://docs.openstack.org/cinder/latest/contributor/api_microversion_history.html).
var (
	minVersion = kit.V(3, 0)
	maxVersion = kit.V(3, 67)

	serviceCluster       = kit.V(3, 7)
	backupUpdate         = kit.V(3, 9)
	volumeSummaryRoute   = kit.V(3, 12)
	volumeGroup          = kit.V(3, 13)
	snapshotGroup        = kit.V(3, 14)
	metadataETags        = kit.V(3, 15)
	backupProject        = kit.V(3, 18)
	volumeProvider       = kit.V(3, 21)
	snapshotMetaFilter   = kit.V(3, 22)
	volumeDeleteForce    = kit.V(3, 23)
	snapshotSortName     = kit.V(3, 30)
	strictFilters        = kit.V(3, 31)
	summaryMetadata      = kit.V(3, 36)
	backupSortName       = kit.V(3, 37)
	limitsOfProject      = kit.V(3, 39)
	snapshotUser         = kit.V(3, 41)
	backupMetadata       = kit.V(3, 43)
	listCount            = kit.V(3, 45)
	volumeFromBackup     = kit.V(3, 47)
	volumeSharedTargets  = kit.V(3, 48)
	serviceBackend       = kit.V(3, 49)
	backupZone           = kit.V(3, 51)
	strictVolumes        = kit.V(3, 53)
	backupUser           = kit.V(3, 56)
	volumeCluster        = kit.V(3, 61)
	volumeTypeID         = kit.V(3, 63)
	consumesQuota        = kit.V(3, 65)
	snapshotInUseUnasked = kit.V(3, 66)
)

// versionRoutes are the version documents, which need no token: the list of
// versions at the face's root, and the one that there is under v3.
func versionRoutes(baseURL string) []kit.Route {
	newest, oldest := maxVersion.String(), minVersion.String()
	doc := map[string][]kit.VersionDoc{"versions": {{
		ID:         "v3.0",
		Status:     "CURRENT",
		Version:    &newest,
		MinVersion: &oldest,
		Updated:    "2023-08-31T00:00:00Z",
		Links: []kit.Link{
			{Rel: "describedby", Type: "text/html", Href: "https://docs.openstack.org/"},
			{Rel: "self", Href: kit.Join(baseURL, "v3/")},
		},
		MediaTypes: []kit.MediaType{{Base: "application/json", Type: "application/vnd.openstack.volume+json;version=3"}},
	}}}
	answer := func(code int) kit.Handler {
		return func(w http.ResponseWriter, _ *kit.Request) error { return kit.WriteJSON(w, code, doc) }
	}
	return []kit.Route{
		{Method: http.MethodGet, Pattern: "", Public: true, Handler: answer(http.StatusMultipleChoices)},
		{Method: http.MethodGet, Pattern: "v3", Public: true, Handler: answer(http.StatusOK)},
	}
}
