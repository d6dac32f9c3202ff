package worker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/service"
	"holdfast/internal/worker"
)

// TestTogether has many clients ask for anything at once while two processes
// work. Nobody gets an internal error, and when all jobs have ended nothing is
// stuck in between and nothing is left.
func TestTogether(t *testing.T) {
	eachDB(t, options{quotas: map[string]int64{backup.QuotaVolumes: 12, backup.QuotaBackups: 12}}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(w.ctx())
		other := w.startProcess(options{})
		var serving, asking sync.WaitGroup
		for _, p := range []process{w.process, other} {
			serving.Go(func() {
				if err := p.queue.Serve(ctx, worker.Pools(2), p.handlers); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range 6 {
			asking.Go(func() {
				c := &client{w: w, r: rand.New(rand.NewPCG(uint64(i), 7)), t: t}
				for range 45 {
					c.ask()
				}
			})
		}
		asking.Wait()
		deadline := time.Now().Add(30 * time.Second)
		for w.unfinished() > 0 && time.Now().Before(deadline) {
			w.clock.Advance(time.Second)
			w.pause()
		}
		cancel()
		serving.Wait()
		if strings.Contains(t.Name(), "postgres") {
			// Each costs a second. Rows are locked in one order: jobs, volumes,
			// snapshots, backups, the project.
			if n := w.count("SELECT CAST(SUM(deadlocks) AS BIGINT) FROM pg_stat_database"); n > 3 {
				t.Errorf("%d deadlocks", n)
			}
		}
		t.Logf("%d jobs, %d backups and %d volumes are left",
			w.count("SELECT COUNT(*) FROM jobs"), w.count("SELECT COUNT(*) FROM backups"), w.count("SELECT COUNT(*) FROM volumes"))
		w.wantTidy()
		for _, v := range w.allVolumes() {
			if v.Status != backup.Available && v.Status != backup.Errored && v.Status != backup.ErrorRestoring {
				t.Errorf("a volume is %s", v.Status)
			}
		}
		w.wantWithin(backup.QuotaVolumes, 12)
		w.wantWithin(backup.QuotaBackups, 12)
	})
}

func (w *world) pause() {
	t := time.NewTimer(5 * time.Millisecond)
	<-t.C
}

func (w *world) wantWithin(resource string, limit int64) {
	w.t.Helper()
	use, err := w.service.Quotas(w.ctx(), root, alice.ProjectID)
	must(w.t, err)
	if use[resource].InUse > limit {
		w.t.Errorf("%d %s, the limit is %d", use[resource].InUse, resource, limit)
	}
}

// client asks at random for what there is.
type client struct {
	w *world
	r *rand.Rand
	t *testing.T
}

func (c *client) ask() {
	ctx, s := c.w.ctx(), c.w.service
	c.w.clock.Advance(time.Millisecond)
	caller := alice
	if c.r.IntN(4) == 0 {
		caller = root
	}
	v, b, sn := c.aVolume(ctx), c.aBackup(ctx), c.aSnapshot(ctx)
	var err error
	switch c.r.IntN(16) {
	case 0, 1:
		_, err = s.CreateVolume(ctx, alice, service.NewVolume{SizeGiB: 1})
	case 2, 3, 4:
		_, err = s.CreateBackup(ctx, alice, service.NewBackup{VolumeID: v, Incremental: c.r.IntN(2) == 0, Force: true})
	case 5:
		_, err = s.RestoreBackup(ctx, alice, b, service.RestoreRequest{})
	case 6:
		_, err = s.RestoreBackup(ctx, alice, b, service.RestoreRequest{VolumeID: v})
	case 7, 8:
		err = s.DeleteBackup(ctx, caller, b, caller.Admin())
	case 9:
		err = s.DeleteVolume(ctx, caller, v, service.Delete{Cascade: true, Force: caller.Admin()})
	case 10:
		_, err = s.CreateSnapshot(ctx, alice, service.NewSnapshot{VolumeID: v})
	case 11:
		err = s.DeleteSnapshot(ctx, caller, sn, caller.Admin())
	case 12:
		_, err = s.CreateVolume(ctx, alice, service.NewVolume{SourceVolumeID: v})
	case 13:
		_, err = s.CreateVolume(ctx, alice, service.NewVolume{SnapshotID: sn})
	case 14:
		err = s.ResetBackup(ctx, root, b, []backup.Status{backup.Available, backup.Errored}[c.r.IntN(2)])
	case 15:
		name := "renamed"
		_, err = s.UpdateBackup(ctx, alice, b, service.Update{Name: &name})
	}
	var known *backup.Error
	if err != nil && (!errors.As(err, &known) || known.Kind == backup.Internal || known.Kind == backup.Unavailable) {
		c.t.Errorf("%v", err)
	}
}

func (c *client) aVolume(ctx context.Context) string {
	p, err := c.w.service.Volumes(ctx, alice, everything)
	if err != nil || len(p.Items) == 0 {
		return ""
	}
	return p.Items[c.r.IntN(len(p.Items))].ID
}

func (c *client) aBackup(ctx context.Context) string {
	p, err := c.w.service.Backups(ctx, alice, everything)
	if err != nil || len(p.Items) == 0 {
		return ""
	}
	return p.Items[c.r.IntN(len(p.Items))].ID
}

func (c *client) aSnapshot(ctx context.Context) string {
	p, err := c.w.service.Snapshots(ctx, alice, everything)
	if err != nil || len(p.Items) == 0 {
		return ""
	}
	return p.Items[c.r.IntN(len(p.Items))].ID
}
