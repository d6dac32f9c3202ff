package blockstorage_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what a test got with the file that holds what it should.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func someQuotas() map[string]int64 {
	return map[string]int64{backup.QuotaVolumes: 20, backup.QuotaBackupGigabytes: 1000}
}

// seeded is a cloud with a few resources in every interesting state.
func seeded(t *testing.T) *cloud {
	t.Helper()
	c := newCloud(t, someQuotas(), nil)
	c.put(
		volume(1, func(v *backup.Volume) {
			v.Description, v.Bootable, v.Metadata = "The first", true, map[string]string{"tier": "gold", "a b": "c/d"}
			v.UpdatedAt = noon.Add(time.Hour)
		}),
		volume(2, func(v *backup.Volume) { v.Name, v.Type, v.SnapshotID, v.Status = "", "", id(11), backup.Creating }),
		volume(3, func(v *backup.Volume) { v.SourceVolumeID, v.Metadata = id(1), map[string]string{"tier": "tin"} }),
		volume(4, func(v *backup.Volume) { v.Status = backup.InUse }),
		volume(9, func(v *backup.Volume) { v.ProjectID = otherProject }),
		snapshot(11, 1, func(s *backup.Snapshot) { s.Description, s.Metadata = "Before the change", map[string]string{"k": "v"} }),
		snapshot(12, 3, func(s *backup.Snapshot) { s.Name, s.Status = "", backup.Creating }),
		snapshot(19, 9, func(s *backup.Snapshot) { s.ProjectID = otherProject }),
		stored(21, 1, func(b *backup.Backup) {
			b.Name, b.Description, b.Container = "vm2/cirros/Boot volume-2024-05-09T10:41:13", "New backup", "shelf"
			b.Metadata, b.UpdatedAt = map[string]string{"why": "nightly"}, noon.Add(time.Hour)
		}),
		stored(22, 1, func(b *backup.Backup) {
			b.ParentID, b.Incremental, b.SnapshotID, b.DataTimestamp = id(21), true, id(11), noon.Add(11*time.Second)
		}),
		stored(23, 3, func(b *backup.Backup) {
			b.Name, b.Status, b.FailReason, b.ObjectCount = "", backup.Errored, "the disk is full", 0
		}),
		stored(29, 9, func(b *backup.Backup) { b.ProjectID = otherProject }),
	)
	if err := c.svc.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// told is what a golden file says of an answer: the status, the headers that
// are the face's and the body.
func told(w interface {
	Result() *http.Response
}, t *testing.T,
) []byte {
	t.Helper()
	res := w.Result()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", res.StatusCode)
	for _, name := range []string{"Content-Type", "Location", "Openstack-Api-Version", "Vary", "Retry-After", "Etag", "Allow", "Www-Authenticate"} {
		if v := res.Header.Values(name); len(v) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(v, ", "))
		}
	}
	b.WriteByte('\n')
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	if body.Len() > 0 {
		if err := json.Indent(&b, body.Bytes(), "", "  "); err != nil {
			t.Fatalf("answer is no JSON: %v: %s", err, body.Bytes())
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// The answers of every route, at the versions that change them. Each request
// finds the same resources.
func TestAnswers(t *testing.T) {
	first := seeded(t)
	first.close()
	template, err := os.ReadFile(first.path)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := newCloud(t, someQuotas(), template)
	backups, volumes, snapshots := "/v3/backups", "/v3/volumes", "/v3/snapshots"
	for name, q := range map[string]request{
		"version-list":             {method: "GET", path: "", token: "none"},
		"version-list-slash":       {method: "GET", path: "/", token: "none"},
		"version-document":         {method: "GET", path: "/v3", token: "none"},
		"version-document-slash":   {method: "GET", path: "/v3/", token: "none", version: "3.99"},
		"version-too-new":          {method: "GET", path: backups, version: "3.99"},
		"version-malformed":        {method: "GET", path: backups, version: "x"},
		"version-latest":           {method: "GET", path: backups + "?limit=0", version: "latest"},
		"no-token":                 {method: "GET", path: backups, token: "none"},
		"no-scope":                 {method: "GET", path: backups, token: "unscoped"},
		"wrong-project":            {method: "GET", path: "/v3/" + otherProject + "/backups"},
		"wrong-method":             {method: "PATCH", path: backups},
		"unknown-path":             {method: "GET", path: "/v3/messages"},
		"wrong-content-type":       {method: "POST", path: backups, body: "x", headers: map[string]string{"Content-Type": "text/plain"}},
		"no-body":                  {method: "POST", path: backups},
		"malformed-body":           {method: "POST", path: backups, body: `{"backup":`},
		"body-is-a-list":           {method: "POST", path: backups, body: `[]`},
		"other-key-in-body":        {method: "POST", path: backups, body: `{"buckup":{}}`},
		"two-actions":              {method: "POST", path: backups + "/" + id(21) + "/action", body: `{"os-force_delete":{},"os-reset_status":{}}`},
		"unknown-action":           {method: "POST", path: volumes + "/" + id(1) + "/action", body: `{"os-fly":{}}`},
		"all-tenants-not-a-bool":   {method: "GET", path: backups + "?all_tenants=x"},
		"limit-not-a-number":       {method: "GET", path: backups + "?limit=x"},
		"limit-negative":           {method: "GET", path: backups + "?limit=-1"},
		"marker-unknown":           {method: "GET", path: backups + "?marker=" + id(99)},
		"marker-unknown-volume":    {method: "GET", path: volumes + "?marker=" + id(99)},
		"marker-unknown-snapshot":  {method: "GET", path: snapshots + "?marker=" + id(99)},
		"sort-bad-direction":       {method: "GET", path: backups + "?sort=created_at:up"},
		"sort-bad-key":             {method: "GET", path: backups + "?sort=colour"},
		"sort-name-too-early":      {method: "GET", path: backups + "?sort=name", version: "3.36"},
		"sort-both-ways":           {method: "GET", path: backups + "?sort=id&sort_key=id"},
		"filter-refused":           {method: "GET", path: backups + "?foo=1&bar=2", version: "3.31"},
		"filter-dropped":           {method: "GET", path: backups + "?foo=1&limit=1", version: "3.30"},
		"filter-bootable-not-bool": {method: "GET", path: volumes + "?bootable=x"},
		"filter-metadata-no-dict":  {method: "GET", path: volumes + "?metadata=x"},

		"backup-create":              {method: "POST", path: backups, body: `{"backup":{"volume_id":"` + id(1) + `","name":" vm2/cirros/Boot volume-2024-05-09T10:41:13 ","description":null,"container":null,"snapshot_id":null,"force":false,"incremental":"no"}}`},
		"backup-create-in-project":   {method: "POST", path: "/v3/" + ourProject + "/backups", body: `{"backup":{"volume_id":"` + id(1) + `"}}`},
		"backup-create-no-volume":    {method: "POST", path: backups, body: `{"backup":{"name":"x"}}`},
		"backup-create-bad-volume":   {method: "POST", path: backups, body: `{"backup":{"volume_id":"xyz"}}`},
		"backup-create-extra":        {method: "POST", path: backups, body: `{"backup":{"volume_id":"` + id(1) + `","foo":1}}`},
		"backup-create-null-force":   {method: "POST", path: backups, body: `{"backup":{"volume_id":"` + id(1) + `","force":null}}`},
		"backup-create-metadata-342": {method: "POST", path: backups, version: "3.42", body: `{"backup":{"volume_id":"` + id(1) + `","metadata":{"a":"b"}}}`},
		"backup-create-metadata-343": {method: "POST", path: backups, version: "3.43", body: `{"backup":{"volume_id":"` + id(1) + `","metadata":{"a":"b"}}}`},
		"backup-create-zone-350":     {method: "POST", path: backups, version: "3.50", body: `{"backup":{"volume_id":"` + id(1) + `","availability_zone":"nova"}}`},
		"backup-create-zone-351":     {method: "POST", path: backups, version: "3.51", body: `{"backup":{"volume_id":"` + id(1) + `","availability_zone":"nova"}}`},
		"backup-create-bad-key":      {method: "POST", path: backups, version: "3.43", body: `{"backup":{"volume_id":"` + id(1) + `","metadata":{"a\n":"b"}}}`},
		"backup-create-of-others":    {method: "POST", path: backups, body: `{"backup":{"volume_id":"` + id(9) + `"}}`},
		"backup-create-in-use":       {method: "POST", path: backups, body: `{"backup":{"volume_id":"` + id(4) + `"}}`},
		"backup-create-reader":       {method: "POST", path: backups, token: "reader", body: `{"backup":{"volume_id":"` + id(1) + `"}}`},
		"backup-list":                {method: "GET", path: backups},
		"backup-list-in-project":     {method: "GET", path: "/v3/" + ourProject + "/backups"},
		"backup-list-page":           {method: "GET", path: backups + "?limit=1&status=available&sort=created_at:asc"},
		"backup-list-count":          {method: "GET", path: backups + "?limit=1&with_count=true", version: "3.45"},
		"backup-list-limit-0":        {method: "GET", path: backups + "?limit=0"},
		"backup-list-all":            {method: "GET", path: backups + "?all_tenants=1", token: "admin"},
		"backup-list-all-member":     {method: "GET", path: backups + "?all_tenants=1", version: "3.31"},
		"backup-list-admin-unknown":  {method: "GET", path: backups + "?colour=red", token: "admin"},
		"backup-detail-page":         {method: "GET", path: "/v3/" + ourProject + "/backups/detail?limit=2"},
		"backup-detail-by-name":      {method: "GET", path: backups + "/detail?all_tenants=1&name=vm2%2Fcirros%2FBoot+volume-2024-05-09T10%3A41%3A13"},
		"backup-detail-like-filter":  {method: "GET", path: backups + "/detail?name~=vm2", version: "3.34"},
		"backup-show-30":             {method: "GET", path: backups + "/" + id(21)},
		"backup-show-318":            {method: "GET", path: backups + "/" + id(21), version: "3.18"},
		"backup-show-318-admin":      {method: "GET", path: backups + "/" + id(21), version: "3.18", token: "admin"},
		"backup-show-343":            {method: "GET", path: backups + "/" + id(21), version: "3.43"},
		"backup-show-latest-admin":   {method: "GET", path: backups + "/" + id(22), version: "3.67", token: "admin"},
		"backup-show-failed":         {method: "GET", path: backups + "/" + id(23), version: "3.67"},
		"backup-show-of-others":      {method: "GET", path: backups + "/" + id(29)},
		"backup-show-by-name":        {method: "GET", path: backups + "/backup-22"},
		"backup-show-slashes":        {method: "GET", path: backups + "/vm2/cirros/Boot%20volume-2024-05-09T10:41:13"},
		"backup-show-escaped":        {method: "GET", path: backups + "/vm2%2Fcirros%2FBoot%20volume"},
		"backup-update-38":           {method: "PUT", path: backups + "/" + id(21), version: "3.8", body: `{"backup":{"name":"x"}}`},
		"backup-update-39":           {method: "PUT", path: backups + "/" + id(21), version: "3.9", body: `{"backup":{"name":" x ","description":"y"}}`},
		"backup-update-bare":         {method: "PUT", path: backups + "/" + id(21), version: "3.9", body: `{"name":"x"}`},
		"backup-update-nothing":      {method: "PUT", path: backups + "/" + id(21), version: "3.9", body: `{}`},
		"backup-update-null-meta":    {method: "PUT", path: backups + "/" + id(21), version: "3.43", body: `{"backup":{"metadata":null}}`},
		"backup-delete":              {method: "DELETE", path: backups + "/" + id(21)},
		"backup-force-delete":        {method: "POST", path: backups + "/" + id(21) + "/action", token: "admin", body: `{"os-force_delete":null}`},
		"backup-force-delete-member": {method: "POST", path: backups + "/" + id(21) + "/action", body: `{"os-force_delete":{}}`},
		"backup-reset":               {method: "POST", path: backups + "/" + id(21) + "/action", token: "admin", body: `{"os-reset_status":{"status":"ERROR"}}`},
		"backup-reset-other":         {method: "POST", path: backups + "/" + id(21) + "/action", token: "admin", body: `{"os-reset_status":{"status":"foo"}}`},
		"backup-reset-no-status":     {method: "POST", path: backups + "/" + id(21) + "/action", token: "admin", body: `{"os-reset_status":{}}`},
		"backup-restore-new":         {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{"restore":{}}`},
		"backup-restore-null":        {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{"restore":null}`},
		"backup-restore-named":       {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{"restore":{"volume_id":null,"name":"back again"}}`},
		"backup-restore-over":        {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{"restore":{"volume_id":"` + strings.ToUpper(strings.ReplaceAll(id(3), "-", "")) + `"}}`},
		"backup-restore-busy":        {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{"restore":{"volume_id":"` + id(4) + `"}}`},
		"backup-restore-failed":      {method: "POST", path: backups + "/" + id(23) + "/restore", body: `{"restore":{}}`},
		"backup-restore-no-key":      {method: "POST", path: backups + "/" + id(21) + "/restore", body: `{}`},

		"volume-create":               {method: "POST", path: volumes, body: `{"volume":{"size":"3","name":" x ","description":"line\nline","metadata":{"a":"b"},"user_id":"root"}}`},
		"volume-create-latest-admin":  {method: "POST", path: volumes, token: "admin", version: "3.67", body: `{"volume":{"size":3,"volume_type":"local","availability_zone":"nova","multiattach":false}}`},
		"volume-create-snapshot":      {method: "POST", path: volumes, body: `{"volume":{"snapshot_id":"` + id(11) + `","source_volid":null,"size":null}}`},
		"volume-create-volume":        {method: "POST", path: volumes, body: `{"volume":{"source_volid":"` + id(1) + `"}}`},
		"volume-create-backup":        {method: "POST", path: volumes, version: "3.47", body: `{"volume":{"backup_id":"` + id(21) + `"}}`},
		"volume-create-backup-early":  {method: "POST", path: volumes, version: "3.46", body: `{"volume":{"backup_id":"` + id(21) + `","size":2}}`},
		"volume-create-backup-failed": {method: "POST", path: volumes, version: "3.47", body: `{"volume":{"backup_id":"` + id(23) + `"}}`},
		"volume-create-image":         {method: "POST", path: volumes, body: `{"volume":{"size":1,"imageRef":"http://image/v2/images/` + id(50) + `"}}`},
		"volume-create-too-small":     {method: "POST", path: volumes, body: `{"volume":{"snapshot_id":"` + id(11) + `","size":1}}`},
		"volume-create-not-ready":     {method: "POST", path: volumes, body: `{"volume":{"snapshot_id":"` + id(12) + `"}}`},
		"volume-create-no-size":       {method: "POST", path: volumes, body: `{"volume":{}}`},
		"volume-create-size-0":        {method: "POST", path: volumes, body: `{"volume":{"size":0}}`},
		"volume-create-size-word":     {method: "POST", path: volumes, body: `{"volume":{"size":"big"}}`},
		"volume-create-long-name":     {method: "POST", path: volumes, body: `{"volume":{"size":1,"name":"` + strings.Repeat("x", 256) + `"}}`},
		"volume-create-extra-352":     {method: "POST", path: volumes, version: "3.52", body: `{"volume":{"size":1,"status":"error"}}`},
		"volume-create-extra-353":     {method: "POST", path: volumes, version: "3.53", body: `{"volume":{"size":1,"status":"error"}}`},
		"volume-create-multiattach":   {method: "POST", path: volumes, body: `{"volume":{"size":1,"multiattach":true}}`},
		"volume-create-in-group":      {method: "POST", path: volumes, version: "3.13", body: `{"volume":{"size":1,"group_id":"` + id(60) + `"}}`},
		"volume-create-no-type":       {method: "POST", path: volumes, body: `{"volume":{"size":1,"volume_type":"gold"}}`},
		"volume-list":                 {method: "GET", path: volumes},
		"volume-list-named":           {method: "GET", path: volumes + "?name=volume-1"},
		"volume-list-metadata":        {method: "GET", path: volumes + "?metadata=%7B%27tier%27%3A+%27tin%27%7D"},
		"volume-list-bootable":        {method: "GET", path: volumes + "?bootable=True&sort=name:asc"},
		"volume-list-quota-free":      {method: "GET", path: volumes + "?consumes_quota=false", version: "3.65"},
		"volume-detail-30":            {method: "GET", path: volumes + "/detail"},
		"volume-detail-page":          {method: "GET", path: volumes + "/detail?limit=1&offset=1&sort_key=size&with_count=yes", version: "3.45"},
		"volume-show-30":              {method: "GET", path: volumes + "/" + id(1)},
		"volume-show-30-admin":        {method: "GET", path: volumes + "/" + id(1), token: "admin"},
		"volume-show-latest":          {method: "GET", path: volumes + "/" + id(3), version: "3.67"},
		"volume-show-latest-admin":    {method: "GET", path: volumes + "/" + id(3), version: "3.67", token: "admin"},
		"volume-show-of-others":       {method: "GET", path: volumes + "/" + id(9)},
		"volume-show-no-uuid":         {method: "GET", path: volumes + "/nosuch"},
		"volume-update":               {method: "PUT", path: volumes + "/" + id(1), body: `{"volume":{"name":"y","description":null}}`},
		"volume-update-extra":         {method: "PUT", path: volumes + "/" + id(1), body: `{"volume":{"size":3}}`},
		"volume-update-nothing-352":   {method: "PUT", path: volumes + "/" + id(1), version: "3.52", body: `{"volume":{}}`},
		"volume-update-nothing-353":   {method: "PUT", path: volumes + "/" + id(1), version: "3.53", body: `{"volume":{}}`},
		"volume-delete":               {method: "DELETE", path: volumes + "/" + id(1)},
		"volume-delete-cascade":       {method: "DELETE", path: volumes + "/" + id(1) + "?cascade=true"},
		"volume-delete-in-use":        {method: "DELETE", path: volumes + "/" + id(4)},
		"volume-delete-force-323":     {method: "DELETE", path: volumes + "/" + id(4) + "?force=true", version: "3.23", token: "admin"},
		"volume-summary-311":          {method: "GET", path: volumes + "/summary", version: "3.11"},
		"volume-extend":               {method: "POST", path: volumes + "/" + id(1) + "/action", body: `{"os-extend":{"new_size":"3"}}`},
		"volume-extend-smaller":       {method: "POST", path: volumes + "/" + id(1) + "/action", body: `{"os-extend":{"new_size":2}}`},
		"volume-extend-in-use":        {method: "POST", path: volumes + "/" + id(4) + "/action", body: `{"os-extend":{"new_size":3}}`},
		"volume-extend-null":          {method: "POST", path: volumes + "/" + id(1) + "/action", body: `{"os-extend":null}`},
		"volume-set-bootable":         {method: "POST", path: volumes + "/" + id(1) + "/action", body: `{"os-set_bootable":{"bootable":"false"}}`},
		"volume-force-delete":         {method: "POST", path: volumes + "/" + id(4) + "/action", token: "admin", body: `{"os-force_delete":{}}`},
		"volume-reset":                {method: "POST", path: volumes + "/" + id(4) + "/action", token: "admin", body: `{"os-reset_status":{"status":"Error"}}`},
		"volume-reset-member":         {method: "POST", path: volumes + "/" + id(4) + "/action", body: `{"os-reset_status":{"status":"error"}}`},
		"volume-reset-nothing":        {method: "POST", path: volumes + "/" + id(4) + "/action", token: "admin", body: `{"os-reset_status":{}}`},
		"volume-reset-attach":         {method: "POST", path: volumes + "/" + id(4) + "/action", token: "admin", body: `{"os-reset_status":{"attach_status":"detached"}}`},

		"volume-metadata":              {method: "GET", path: volumes + "/" + id(1) + "/metadata"},
		"volume-metadata-tagged":       {method: "GET", path: volumes + "/" + id(1) + "/metadata", version: "3.15"},
		"volume-metadata-merge":        {method: "POST", path: volumes + "/" + id(1) + "/metadata", body: `{"metadata":{"x":"y"}}`},
		"volume-metadata-replace":      {method: "PUT", path: volumes + "/" + id(1) + "/metadata", body: `{"metadata":{"x":"y"}}`},
		"volume-metadata-replace-etag": {method: "PUT", path: volumes + "/" + id(1) + "/metadata", version: "3.15", headers: map[string]string{"If-Match": `"old"`}, body: `{"metadata":{"x":"y"}}`},
		"volume-metadata-null":         {method: "PUT", path: volumes + "/" + id(1) + "/metadata", body: `{"metadata":null}`},
		"volume-metadata-one":          {method: "GET", path: volumes + "/" + id(1) + "/metadata/a%20b"},
		"volume-metadata-one-absent":   {method: "GET", path: volumes + "/" + id(1) + "/metadata/nosuch"},
		"volume-metadata-set-one":      {method: "PUT", path: volumes + "/" + id(1) + "/metadata/x", body: `{"meta":{"x":"y"}}`},
		"volume-metadata-set-other":    {method: "PUT", path: volumes + "/" + id(1) + "/metadata/x", body: `{"meta":{"z":"y"}}`},
		"volume-metadata-set-two":      {method: "PUT", path: volumes + "/" + id(1) + "/metadata/x", body: `{"meta":{"x":"y","z":"y"}}`},
		"volume-metadata-delete":       {method: "DELETE", path: volumes + "/" + id(1) + "/metadata/tier"},
		"volume-metadata-delete-none":  {method: "DELETE", path: volumes + "/" + id(1) + "/metadata/nosuch"},
		"volume-metadata-of-others":    {method: "GET", path: volumes + "/" + id(9) + "/metadata"},

		"snapshot-create":              {method: "POST", path: snapshots, body: `{"snapshot":{"volume_id":"` + id(1) + `","display_name":"s","force":"True","metadata":null}}`},
		"snapshot-create-latest":       {method: "POST", path: snapshots, version: "3.67", body: `{"snapshot":{"volume_id":"` + id(4) + `","name":"s"}}`},
		"snapshot-create-force-false":  {method: "POST", path: snapshots, version: "3.66", body: `{"snapshot":{"volume_id":"` + id(1) + `","force":false}}`},
		"snapshot-create-in-use":       {method: "POST", path: snapshots, version: "3.65", body: `{"snapshot":{"volume_id":"` + id(4) + `"}}`},
		"snapshot-create-null-volume":  {method: "POST", path: snapshots, body: `{"snapshot":{"volume_id":null}}`},
		"snapshot-create-no-volume":    {method: "POST", path: snapshots, body: `{"snapshot":{}}`},
		"snapshot-create-of-others":    {method: "POST", path: snapshots, body: `{"snapshot":{"volume_id":"` + id(9) + `"}}`},
		"snapshot-list":                {method: "GET", path: snapshots},
		"snapshot-list-of-volume":      {method: "GET", path: snapshots + "?volume_id=" + id(3) + "&limit=1&with_count=1", version: "3.67"},
		"snapshot-list-metadata-early": {method: "GET", path: snapshots + "?metadata=%7B%22k%22%3A+%22x%22%7D&limit=1", version: "3.21"},
		"snapshot-list-metadata":       {method: "GET", path: snapshots + "?metadata=%7B%22k%22%3A+%22x%22%7D", version: "3.22"},
		"snapshot-detail":              {method: "GET", path: snapshots + "/detail?sort_key=display_name&sort_dir=asc"},
		"snapshot-show-30":             {method: "GET", path: snapshots + "/" + id(11)},
		"snapshot-show-latest":         {method: "GET", path: snapshots + "/" + id(11), version: "3.67"},
		"snapshot-show-of-others":      {method: "GET", path: snapshots + "/" + id(19)},
		"snapshot-update":              {method: "PUT", path: snapshots + "/" + id(11), body: `{"snapshot":{"name":"t","display_description":"d"}}`},
		"snapshot-update-nothing":      {method: "PUT", path: snapshots + "/" + id(11), body: `{"snapshot":{}}`},
		"snapshot-update-unprintable":  {method: "PUT", path: snapshots + "/" + id(11), body: `{"snapshot":{"description":"a\u0007"}}`},
		"snapshot-delete":              {method: "DELETE", path: snapshots + "/" + id(11)},
		"snapshot-delete-busy":         {method: "DELETE", path: snapshots + "/" + id(12)},
		"snapshot-force-delete":        {method: "POST", path: snapshots + "/" + id(12) + "/action", token: "admin", body: `{"os-force_delete":null}`},
		"snapshot-reset":               {method: "POST", path: snapshots + "/" + id(12) + "/action", token: "admin", body: `{"os-reset_status":{"status":"error"}}`},
		"snapshot-metadata":            {method: "GET", path: snapshots + "/" + id(11) + "/metadata", version: "3.67"},
		"snapshot-metadata-merge":      {method: "POST", path: snapshots + "/" + id(11) + "/metadata", body: `{"metadata":{"x":"y"}}`},
		"snapshot-metadata-replace":    {method: "PUT", path: snapshots + "/" + id(11) + "/metadata", body: `{"metadata":{}}`},
		"snapshot-metadata-one-absent": {method: "GET", path: snapshots + "/" + id(11) + "/metadata/nosuch"},
		"snapshot-metadata-delete":     {method: "DELETE", path: snapshots + "/" + id(11) + "/metadata/k"},

		"type-list":               {method: "GET", path: "/v3/types"},
		"type-list-admin":         {method: "GET", path: "/v3/types?is_public=None", token: "admin"},
		"type-list-private":       {method: "GET", path: "/v3/types?is_public=False", token: "admin"},
		"type-list-bad-filter":    {method: "GET", path: "/v3/types?is_public=x", token: "admin"},
		"type-list-page":          {method: "GET", path: "/v3/types?limit=1&is_public=none", token: "admin"},
		"type-list-marker":        {method: "GET", path: "/v3/types?marker=nosuch"},
		"type-default":            {method: "GET", path: "/v3/types/default"},
		"type-show":               {method: "GET", path: "/v3/types/" + id(900)},
		"type-show-absent":        {method: "GET", path: "/v3/types/nosuch"},
		"type-specs":              {method: "GET", path: "/v3/types/" + id(900) + "/extra_specs"},
		"type-specs-admin":        {method: "GET", path: "/v3/types/" + id(900) + "/extra_specs", token: "admin"},
		"type-spec":               {method: "GET", path: "/v3/types/" + id(900) + "/extra_specs/multiattach"},
		"type-spec-hidden":        {method: "GET", path: "/v3/types/" + id(900) + "/extra_specs/volume_backend_name"},
		"limits":                  {method: "GET", path: "/v3/limits"},
		"limits-of-other":         {method: "GET", path: "/v3/limits?project_id=" + otherProject, version: "3.39", token: "admin"},
		"quota-show":              {method: "GET", path: "/v3/os-quota-sets/" + ourProject},
		"quota-usage":             {method: "GET", path: "/v3/os-quota-sets/" + ourProject + "?usage=True"},
		"quota-usage-not-bool":    {method: "GET", path: "/v3/os-quota-sets/" + ourProject + "?usage=x"},
		"quota-of-other-member":   {method: "GET", path: "/v3/os-quota-sets/" + otherProject},
		"quota-of-other-admin":    {method: "GET", path: "/v3/os-quota-sets/" + otherProject + "?usage=1", token: "admin"},
		"quota-defaults":          {method: "GET", path: "/v3/os-quota-sets/" + ourProject + "/defaults"},
		"quota-update":            {method: "PUT", path: "/v3/os-quota-sets/" + otherProject, token: "admin", body: `{"quota_set":{"backups":"7","volumes":-1,"tenant_id":"x"}}`},
		"quota-update-below":      {method: "PUT", path: "/v3/os-quota-sets/" + ourProject, token: "admin", body: `{"quota_set":{"backups":1}}`},
		"quota-update-bad-key":    {method: "PUT", path: "/v3/os-quota-sets/" + ourProject, token: "admin", body: `{"quota_set":{"apples":1,"pears":2}}`},
		"quota-update-bad-number": {method: "PUT", path: "/v3/os-quota-sets/" + ourProject, token: "admin", body: `{"quota_set":{"backups":-2}}`},
		"quota-update-nothing":    {method: "PUT", path: "/v3/os-quota-sets/" + ourProject, token: "admin", body: `{"quota_set":{}}`},
		"quota-update-member":     {method: "PUT", path: "/v3/os-quota-sets/" + ourProject, body: `{"quota_set":{"backups":100}}`},
		"quota-delete":            {method: "DELETE", path: "/v3/os-quota-sets/" + ourProject, token: "admin"},
		"quota-class":             {method: "GET", path: "/v3/os-quota-class-sets/default", token: "admin"},
		"service-list":            {method: "GET", path: "/v3/os-services", token: "admin"},
		"service-list-latest":     {method: "GET", path: "/v3/os-services?binary=cinder-volume", version: "3.67", token: "admin"},
		"service-list-host":       {method: "GET", path: "/v3/os-services?host=nosuch", token: "admin"},
		"service-list-member":     {method: "GET", path: "/v3/os-services"},
		"service-disable":         {method: "PUT", path: "/v3/os-services/disable", token: "admin", body: `{"host":"node1","binary":"cinder-backup"}`},
		"service-disable-reason":  {method: "PUT", path: "/v3/os-services/disable-log-reason", token: "admin", body: `{"host":"node1","service":"cinder-backup","disabled_reason":" new disk "}`},
		"service-enable":          {method: "PUT", path: "/v3/os-services/enable", token: "admin", body: `{"host":"node1","binary":"cinder-backup"}`},
		"service-enable-absent":   {method: "PUT", path: "/v3/os-services/enable", token: "admin", body: `{"host":"node2","binary":"cinder-backup"}`},
		"service-enable-no-host":  {method: "PUT", path: "/v3/os-services/enable", token: "admin", body: `{"binary":"cinder-backup"}`},
		"zones":                   {method: "GET", path: "/v3/os-availability-zone"},
		"extensions":              {method: "GET", path: "/v3/extensions"},
		"extension":               {method: "GET", path: "/v3/extensions/backups"},
		"extension-absent":        {method: "GET", path: "/v3/extensions/nosuch"},
	} {
		t.Run(name, func(t *testing.T) {
			c := unchanged
			if q.method != http.MethodGet {
				c = newCloud(t, someQuotas(), template)
			}
			golden(t, filepath.Join("answers", name+".txt"), told(c.do(q), t))
		})
	}
}

// A quota that is passed is told as 413 with the header and the field that
// clients wait by; the restore route words it without the exception's name.
func TestQuotaExceeded(t *testing.T) {
	c := newCloud(t, map[string]int64{
		backup.QuotaVolumes: 1, backup.QuotaGigabytes: 4, backup.QuotaBackups: 1, backup.QuotaSnapshots: 0, backup.QuotaPerVolume: 3,
	}, nil)
	c.put(volume(1, nil), stored(21, 1, nil))
	for name, q := range map[string]request{
		"volume-count":    {method: "POST", path: "/v3/volumes", body: `{"volume":{"size":1}}`},
		"volume-size":     {method: "POST", path: "/v3/volumes", body: `{"volume":{"size":4}}`},
		"backup-count":    {method: "POST", path: "/v3/backups", body: `{"backup":{"volume_id":"` + id(1) + `"}}`},
		"snapshot-count":  {method: "POST", path: "/v3/snapshots", body: `{"snapshot":{"volume_id":"` + id(1) + `"}}`},
		"restore-volumes": {method: "POST", path: "/v3/backups/" + id(21) + "/restore", body: `{"restore":{}}`},
	} {
		golden(t, filepath.Join("answers", "over-quota-"+name+".txt"), told(c.do(q), t))
	}
}

// A tag that a client read is good for a change until somebody else changes
// the metadata.
func TestMetadataTag(t *testing.T) {
	c := seeded(t)
	path := "/v3/volumes/" + id(1) + "/metadata"
	tag := c.do(request{method: "GET", path: path, version: "3.15"}).Header().Get("ETag")
	change := request{method: "PUT", path: path, version: "3.15", headers: map[string]string{"If-Match": tag}, body: `{"metadata":{"new":"one"}}`}
	c.expect(http.StatusOK, change)
	c.expect(http.StatusPreconditionFailed, change)
	change.version = "3.14"
	c.expect(http.StatusOK, change)
}

// The summary counts volumes, not their snapshots.
func TestVolumeSummary(t *testing.T) {
	c := newCloud(t, nil, nil)
	c.put(
		volume(1, func(v *backup.Volume) { v.Metadata = map[string]string{"tier": "gold", "a": "b"} }),
		volume(2, func(v *backup.Volume) { v.Metadata, v.SizeGiB = map[string]string{"tier": "tin"}, 5 }),
		volume(9, func(v *backup.Volume) { v.ProjectID = otherProject }),
		snapshot(11, 1, nil),
	)
	for name, q := range map[string]request{
		"volume-summary-312":       {method: "GET", path: "/v3/volumes/summary", version: "3.12"},
		"volume-summary-336":       {method: "GET", path: "/v3/volumes/summary", version: "3.36"},
		"volume-summary-336-admin": {method: "GET", path: "/v3/volumes/summary?all_tenants=1", version: "3.36", token: "admin"},
	} {
		golden(t, filepath.Join("answers", name+".txt"), told(c.do(q), t))
	}
}

// Following the links visits every item once, whatever the page's size.
func TestPagesFollowLinks(t *testing.T) {
	c := newCloud(t, nil, nil)
	c.put(volume(1, nil))
	for n := range 25 {
		c.put(stored(100+n, 1, func(b *backup.Backup) { b.CreatedAt = noon.Add(time.Duration(n/3) * time.Second) }))
	}
	for _, size := range []int{1, 4, 5, 25, 26} {
		seen := map[string]int{}
		next := fmt.Sprintf("/v3/backups/detail?limit=%d&sort=status,name:asc", size)
		for next != "" {
			var page struct {
				Backups []struct{ ID string }
				Links   []struct{ Href string } `json:"backups_links"`
			}
			q := request{method: "GET", path: next, version: "3.37"}
			if err := json.Unmarshal(c.expect(http.StatusOK, q).Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			for _, b := range page.Backups {
				seen[b.ID]++
			}
			next = ""
			if len(page.Links) == 1 {
				next = strings.TrimPrefix(page.Links[0].Href, "https://cloud.example/volume")
			}
		}
		if len(seen) != 25 {
			t.Errorf("pages of %d showed %d of 25 backups: %v", size, len(seen), seen)
		}
	}
}

// A failure of ours is told by its request id and nothing else.
func TestInternalErrorTellsNothing(t *testing.T) {
	c := newCloud(t, nil, nil)
	if err := c.db.Update(t.Context(), func(tx *catalog.Tx) error {
		_, err := tx.Exec(t.Context(), "DROP TABLE backups")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w := c.do(request{method: "GET", path: "/v3/backups"})
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "backups") {
		t.Errorf("got %d %s, want 500 that tells nothing of the cause", w.Code, w.Body)
	}
}
