// Package blockstorage is the face that speaks OpenStack's block storage API,
// version 3 (https://docs.openstack.org/api-ref/block-storage/v3/): backups
// in full, and of volumes, snapshots, types, quotas and services as much as
// clients of backups need.
//
// A handler decodes the request, calls one use case and shows what it
// returned. Business rules live in the service. The texts of errors and the
// keys of answers are Cinder's, byte for byte: both are closed sets that
// clients and test suites check.
package blockstorage
