package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// quotaKeys are the resources that a quota can limit.
var quotaKeys = []string{
	backup.QuotaVolumes, backup.QuotaGigabytes, backup.QuotaSnapshots,
	backup.QuotaBackups, backup.QuotaBackupGigabytes, backup.QuotaPerVolume, backup.QuotaGroups,
}

const unlimited = -1

// limits returns every quota of a project: its own, else the installation's.
func (s *Service) limits(ctx context.Context, tx *catalog.Tx, project string) (map[string]int64, error) {
	own, err := tx.Limits(ctx, project)
	if err != nil {
		return nil, err
	}
	all := s.defaults()
	maps.Copy(all, own)
	return all, nil
}

func (s *Service) defaults() map[string]int64 {
	all := make(map[string]int64, len(quotaKeys))
	for _, k := range quotaKeys {
		all[k] = unlimited
		if v, ok := s.cfg.Quotas[k]; ok {
			all[k] = v
		}
	}
	return all
}

// demand is what a request would add to a project's use.
type demand struct {
	volumes, gigabytes, snapshots, backups, backupGigabytes int64
	volumeSize                                              int64 // of the one volume that is made or grown
}

// reserve fails where the project's limits do not leave room for d. It locks
// the project's quota until tx ends, so what it allowed can be inserted.
func (s *Service) reserve(ctx context.Context, tx *catalog.Tx, project string, d demand) error {
	if err := tx.LockProject(ctx, project); err != nil {
		return err
	}
	limit, err := s.limits(ctx, tx, project)
	if err != nil {
		return err
	}
	use, err := tx.Use(ctx, project)
	if err != nil {
		return err
	}
	if l := limit[backup.QuotaPerVolume]; l >= 0 && d.volumeSize > l {
		return exceeded(backup.VolumeSizeExceeded, d.volumeSize, l, 0)
	}
	for _, q := range []struct {
		key    string
		want   int64
		reason backup.Reason
	}{
		{backup.QuotaVolumes, d.volumes, backup.VolumeCountExceeded},
		{backup.QuotaGigabytes, d.gigabytes, backup.VolumeBytesExceeded},
		{backup.QuotaSnapshots, d.snapshots, backup.SnapshotCountExceeded},
		{backup.QuotaBackups, d.backups, backup.BackupCountExceeded},
		{backup.QuotaBackupGigabytes, d.backupGigabytes, backup.BackupBytesExceeded},
	} {
		if l := limit[q.key]; q.want > 0 && l >= 0 && use[q.key]+q.want > l {
			return exceeded(q.reason, q.want, l, use[q.key])
		}
	}
	return nil
}

func exceeded(reason backup.Reason, want, limit, used int64) error {
	return &backup.Error{
		Kind: backup.OverQuota, Reason: reason,
		Args: map[string]string{
			"requested": strconv.FormatInt(want, 10),
			"limit":     strconv.FormatInt(limit, 10),
			"used":      strconv.FormatInt(used, 10),
		},
		Message: fmt.Sprintf("%s: %d asked for, %d of %d used", reason, want, used, limit),
	}
}

// Limits returns the caller's project's limits and use.
func (s *Service) Limits(ctx context.Context, c backup.Caller) (Usages, error) {
	if err := authorise(c, ruleLimits); err != nil {
		return nil, err
	}
	return s.usages(ctx, c.ProjectID)
}

// Quotas returns a project's limits and use. Only admins may ask for another
// project's.
func (s *Service) Quotas(ctx context.Context, c backup.Caller, project string) (Usages, error) {
	if err := authorise(c, ruleQuotaShow); err != nil {
		return nil, err
	}
	if project != c.ProjectID && !c.Admin() {
		return nil, &backup.Error{
			Kind: backup.Forbidden, Reason: backup.PolicyDenied,
			Args:    map[string]string{"rule": string(ruleQuotaShow)},
			Message: "policy does not allow " + string(ruleQuotaShow),
		}
	}
	return s.usages(ctx, project)
}

func (s *Service) usages(ctx context.Context, project string) (Usages, error) {
	all := Usages{}
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		limit, err := s.limits(ctx, tx, project)
		if err != nil {
			return err
		}
		use, err := tx.Use(ctx, project)
		if err != nil {
			return err
		}
		for k, l := range limit {
			all[k] = backup.Usage{Limit: l, InUse: use[k]}
		}
		return nil
	})
	return all, err
}

// QuotaDefaults returns the limits of a project that has none of its own.
func (s *Service) QuotaDefaults(_ context.Context, c backup.Caller, _ string) (map[string]int64, error) {
	if err := authorise(c, ruleQuotaShow); err != nil {
		return nil, err
	}
	return s.defaults(), nil
}

// SetQuotas sets some of a project's limits and returns all of them. A limit
// below what is in use is refused unless force is set.
func (s *Service) SetQuotas(ctx context.Context, c backup.Caller, project string, set map[string]int64, force bool) (map[string]int64, error) {
	if err := authorise(c, ruleQuotaUpdate); err != nil {
		return nil, err
	}
	var unknown []string
	for k, v := range set {
		if !slices.Contains(quotaKeys, k) {
			unknown = append(unknown, k)
		} else if v < unlimited {
			return nil, backup.Errorf(backup.Invalid, "quota %s must be -1 or more, got %d", k, v)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		keys := strings.Join(unknown, ",")
		return nil, invalid(backup.QuotaKeyUnknown, "unknown quota: "+keys, map[string]string{"keys": keys})
	}
	var all map[string]int64
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := tx.LockProject(ctx, project); err != nil {
			return err
		}
		use, err := tx.Use(ctx, project)
		if err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(set)) {
			if v := set[k]; !force && v >= 0 && use[k] > v {
				return invalid(backup.QuotaBelowUse,
					fmt.Sprintf("%s: %d in use, limit of %d refused", k, use[k], v),
					map[string]string{"resource": k, "used": strconv.FormatInt(use[k], 10), "limit": strconv.FormatInt(v, 10)})
			}
		}
		if err := tx.SetLimits(ctx, project, set); err != nil {
			return err
		}
		all, err = s.limits(ctx, tx, project)
		return err
	})
	return all, err
}

// ResetQuotas takes a project's own limits away.
func (s *Service) ResetQuotas(ctx context.Context, c backup.Caller, project string) error {
	if err := authorise(c, ruleQuotaDelete); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error { return tx.ResetLimits(ctx, project) })
}
