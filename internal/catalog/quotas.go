package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/backup"
)

// LockProject makes other transactions that lock the same project wait until
// this one ends. It comes before the reads that it protects.
func (tx *Tx) LockProject(ctx context.Context, project string) error {
	_, err := tx.Exec(ctx, `INSERT INTO projects (id, touched) VALUES ($1, 1)
		ON CONFLICT (id) DO UPDATE SET touched = projects.touched + 1`, project)
	if err != nil {
		return fmt.Errorf("lock project %s: %w", project, err)
	}
	return nil
}

// Limits returns the limits that a project has of its own, by the quota
// resource.
func (tx *Tx) Limits(ctx context.Context, project string) (map[string]int64, error) {
	rows, err := tx.Query(ctx, "SELECT resource, hard_limit FROM quota_limits WHERE project_id = $1", project)
	if err != nil {
		return nil, fmt.Errorf("read the limits of project %s: %w", project, err)
	}
	defer rows.Close()
	limits := map[string]int64{}
	for rows.Next() {
		var resource string
		var limit int64
		if err := rows.Scan(&resource, &limit); err != nil {
			return nil, fmt.Errorf("read the limits of project %s: %w", project, err)
		}
		limits[resource] = limit
	}
	return limits, rows.Err()
}

// SetLimits gives a project limits of its own; those not named stay.
func (tx *Tx) SetLimits(ctx context.Context, project string, limits map[string]int64) error {
	for _, resource := range slices.Sorted(maps.Keys(limits)) {
		_, err := tx.Exec(ctx, `INSERT INTO quota_limits (project_id, resource, hard_limit) VALUES ($1, $2, $3)
			ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit`,
			project, resource, limits[resource])
		if err != nil {
			return fmt.Errorf("set limit %s of project %s: %w", resource, project, err)
		}
	}
	return nil
}

// ResetLimits takes a project's own limits away.
func (tx *Tx) ResetLimits(ctx context.Context, project string) error {
	_, err := tx.Exec(ctx, "DELETE FROM quota_limits WHERE project_id = $1", project)
	return err
}

// Use returns what a project uses, or all projects where it is empty, by the
// quota resource: numbers of volumes, snapshots and backups, and their GiB.
// Snapshots count towards gigabytes, as in Cinder.
func (tx *Tx) Use(ctx context.Context, project string) (map[string]int64, error) {
	use := map[string]int64{}
	for _, t := range []struct{ table, count, size string }{
		{"volumes", backup.QuotaVolumes, backup.QuotaGigabytes},
		{"snapshots", backup.QuotaSnapshots, backup.QuotaGigabytes},
		{"backups", backup.QuotaBackups, backup.QuotaBackupGigabytes},
	} {
		query := "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM " + t.table + " WHERE status <> 'deleted'"
		var a args
		if project != "" {
			query += " AND project_id = " + a.add(project)
		}
		var count, size int64
		if err := tx.QueryRow(ctx, query, a...).Scan(&count, &size); err != nil {
			return nil, fmt.Errorf("sum the %s of project %s: %w", t.table, project, err)
		}
		use[t.count] += count
		use[t.size] += size
	}
	return use, nil
}
