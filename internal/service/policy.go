package service

import "holdfast/internal/backup"

// Rule is a policy rule, named as Cinder names it
// (https://docs.openstack.org/cinder/latest/configuration/block-storage/policy.html).
type Rule string

// The rules of the block storage use cases.
const (
	ruleVolumeCreate   Rule = "volume:create"
	ruleVolumeGet      Rule = "volume:get"
	ruleVolumeList     Rule = "volume:get_all"
	ruleVolumeUpdate   Rule = "volume:update"
	ruleVolumeDelete   Rule = "volume:delete"
	ruleVolumeForceDel Rule = "volume_extension:volume_admin_actions:force_delete"
	ruleVolumeReset    Rule = "volume_extension:volume_admin_actions:reset_status"
	ruleVolumeExtend   Rule = "volume:extend"
	ruleVolumeBootable Rule = "volume_extension:volume_actions:set_bootable"
	ruleVolumeSetMeta  Rule = "volume:update_volume_metadata"
	ruleVolumeDelMeta  Rule = "volume:delete_volume_metadata"

	ruleSnapshotCreate   Rule = "volume:create_snapshot"
	ruleSnapshotGet      Rule = "volume:get_snapshot"
	ruleSnapshotList     Rule = "volume:get_all_snapshots"
	ruleSnapshotUpdate   Rule = "volume:update_snapshot"
	ruleSnapshotDelete   Rule = "volume:delete_snapshot"
	ruleSnapshotForceDel Rule = "volume_extension:snapshot_admin_actions:force_delete"
	ruleSnapshotReset    Rule = "volume_extension:snapshot_admin_actions:reset_status"
	ruleSnapshotSetMeta  Rule = "volume:update_snapshot_metadata"
	ruleSnapshotDelMeta  Rule = "volume:delete_snapshot_metadata"

	ruleBackupCreate   Rule = "backup:create"
	ruleBackupGet      Rule = "backup:get"
	ruleBackupList     Rule = "backup:get_all"
	ruleBackupUpdate   Rule = "backup:update"
	ruleBackupDelete   Rule = "backup:delete"
	ruleBackupRestore  Rule = "backup:restore"
	ruleBackupForceDel Rule = "volume_extension:backup_admin_actions:force_delete"
	ruleBackupReset    Rule = "volume_extension:backup_admin_actions:reset_status"

	ruleTypeGet     Rule = "volume_extension:type_get_all"
	ruleLimits      Rule = "limits_extension:used_limits"
	ruleQuotaShow   Rule = "volume_extension:quotas:show"
	ruleQuotaUpdate Rule = "volume_extension:quotas:update"
	ruleQuotaDelete Rule = "volume_extension:quotas:delete"
	ruleServices    Rule = "volume_extension:services:index"
	ruleServicesSet Rule = "volume_extension:services:update"
	ruleZones       Rule = "volume:availability_zone_list"

	ruleVaultOperate Rule = "holdfast:vault:operate"

	roleMember = "member"
	roleReader = "reader"
	roleAdmin  = "admin"
)

// needs is the least role that each rule asks for: readers read, members
// write, admins administer. A rule that is missing here denies.
var needs = map[Rule]string{
	ruleVolumeCreate: roleMember, ruleVolumeGet: roleReader, ruleVolumeList: roleReader,
	ruleVolumeUpdate: roleMember, ruleVolumeDelete: roleMember, ruleVolumeForceDel: roleAdmin,
	ruleVolumeReset: roleAdmin, ruleVolumeExtend: roleMember, ruleVolumeBootable: roleMember,
	ruleVolumeSetMeta: roleMember, ruleVolumeDelMeta: roleMember,

	ruleSnapshotCreate: roleMember, ruleSnapshotGet: roleReader, ruleSnapshotList: roleReader,
	ruleSnapshotUpdate: roleMember, ruleSnapshotDelete: roleMember, ruleSnapshotForceDel: roleAdmin,
	ruleSnapshotReset: roleAdmin, ruleSnapshotSetMeta: roleMember, ruleSnapshotDelMeta: roleMember,

	ruleBackupCreate: roleMember, ruleBackupGet: roleReader, ruleBackupList: roleReader,
	ruleBackupUpdate: roleMember, ruleBackupDelete: roleMember, ruleBackupRestore: roleMember,
	ruleBackupForceDel: roleAdmin, ruleBackupReset: roleAdmin,

	ruleTypeGet: roleReader, ruleLimits: roleReader, ruleQuotaShow: roleReader,
	ruleQuotaUpdate: roleAdmin, ruleQuotaDelete: roleAdmin,
	ruleServices: roleAdmin, ruleServicesSet: roleAdmin, ruleZones: roleReader,
	ruleVaultOperate: roleAdmin,
}

// authorise fails with PolicyDenied where the caller's roles do not satisfy
// the rule. admin implies member, and member implies reader.
func authorise(c backup.Caller, r Rule) error {
	if c.ProjectID != "" {
		switch needs[r] {
		case roleReader:
			if c.Has(roleReader) || c.Has(roleMember) || c.Admin() {
				return nil
			}
		case roleMember:
			if c.Has(roleMember) || c.Admin() {
				return nil
			}
		case roleAdmin:
			if c.Admin() {
				return nil
			}
		}
	}
	return &backup.Error{
		Kind: backup.Forbidden, Reason: backup.PolicyDenied,
		Args:    map[string]string{"rule": string(r)},
		Message: "policy does not allow " + string(r),
	}
}

// MayAdmin reports whether the caller sees what only administrators see.
func (s *Service) MayAdmin(c backup.Caller) bool { return c.Admin() }
