package e2e_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/backups"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// TestGophercloud does the main job with the library that Terraform and most
// Go programs use.
func TestGophercloud(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newServer(t, settings{more: people(t, map[string]string{"root": "red admin"})})
	s.launch()
	s.client = s.as("root", password("root"), "red")
	api := blockStorage(t, s)

	v, err := volumes.Create(ctx, api, volumes.CreateOpts{Name: "disk", Size: 1}, nil).Extract()
	must(t, err)
	s.wait("volume", v.ID, "available")
	scribble(t, newRand(t), s.volumeFile(v.ID), 40, mib)
	want := digest(t, s.volumeFile(v.ID))

	full, err := backups.Create(ctx, api, backups.CreateOpts{
		VolumeID: v.ID, Name: slashed, Metadata: map[string]string{"tier": "gold"},
	}).Extract()
	must(t, err)
	s.wait("backup", full.ID, "available")
	increment, err := backups.Create(ctx, api, backups.CreateOpts{VolumeID: v.ID, Incremental: true}).Extract()
	must(t, err)
	s.wait("backup", increment.ID, "available")

	checkBackup(t, api, full.ID, v.ID)
	checkPages(t, api, []string{increment.ID, full.ID})

	// The library sends what is to change without the wrapper "backup".
	name, description := "renamed", "with a library"
	_, err = backups.Update(ctx, api, full.ID, backups.UpdateOpts{Name: &name, Description: &description}).Extract()
	must(t, err)
	if b := s.show("backup", full.ID); b["name"] != name || b["description"] != description {
		t.Errorf("after the update: %v", b)
	}

	restored, err := backups.RestoreFromBackup(ctx, api, increment.ID, backups.RestoreOpts{Name: "back"}).Extract()
	must(t, err)
	made, err := volumes.Create(ctx, api, volumes.CreateOpts{Name: "made", BackupID: full.ID}, nil).Extract()
	must(t, err)
	for _, id := range []string{restored.VolumeID, made.ID} {
		s.wait("volume", id, "available")
		if digest(t, s.volumeFile(id)) != want {
			t.Errorf("volume %s holds something else", id)
		}
	}

	must(t, backups.Delete(ctx, api, full.ID).ExtractErr())
	must(t, backups.ResetStatus(ctx, api, increment.ID, backups.ResetStatusOpts{Status: "error"}).ExtractErr())
	must(t, backups.ForceDelete(ctx, api, increment.ID).ExtractErr())
	for _, id := range []string{full.ID, increment.ID} {
		s.wait("backup", id, "gone")
		if _, err := backups.Get(ctx, api, id).Extract(); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			t.Errorf("get of a deleted backup: %v", err)
		}
	}
}

// blockStorage logs the library in and asks it for the endpoint.
func blockStorage(t *testing.T, s *server) *gophercloud.ServiceClient {
	t.Helper()
	provider, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
		IdentityEndpoint: s.auth, Username: "root", Password: password("root"), TenantName: "red", DomainName: "Default",
	})
	must(t, err)
	s.secrets = append(s.secrets, provider.Token())
	api, err := openstack.NewBlockStorageV3(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	must(t, err)
	api.Microversion = newest
	return api
}

// checkBackup compares what the library makes of a full backup.
func checkBackup(t *testing.T, api *gophercloud.ServiceClient, id, volume string) {
	t.Helper()
	got, err := backups.Get(t.Context(), api, id).Extract()
	must(t, err)
	if got.CreatedAt.IsZero() || got.UpdatedAt.IsZero() || !got.DataTimestamp.Equal(got.CreatedAt) {
		t.Errorf("times: created %v, updated %v, data %v", got.CreatedAt, got.UpdatedAt, got.DataTimestamp)
	}
	zone := "nova"
	want := backups.Backup{
		ID: id, Name: slashed, VolumeID: volume, Status: "available", Size: 1, HasDependentBackups: true,
		Metadata: &map[string]string{"tier": "gold"}, AvailabilityZone: &zone,
		CreatedAt: got.CreatedAt, UpdatedAt: got.UpdatedAt, DataTimestamp: got.DataTimestamp,
		ObjectCount: got.ObjectCount, ProjectID: got.ProjectID,
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.ObjectCount == 0 || got.ProjectID == "" {
		t.Errorf("object count %d, project %q", got.ObjectCount, got.ProjectID)
	}
}

// checkPages lists the backups one a page.
func checkPages(t *testing.T, api *gophercloud.ServiceClient, want []string) {
	t.Helper()
	var ids []string
	err := backups.List(api, backups.ListOpts{Limit: 1}).EachPage(t.Context(), func(_ context.Context, p pagination.Page) (bool, error) {
		page, err := backups.ExtractBackups(p)
		for _, b := range page {
			ids = append(ids, b.ID)
		}
		return true, err
	})
	must(t, err)
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("backups by pages (-want +got):\n%s", diff)
	}
}
