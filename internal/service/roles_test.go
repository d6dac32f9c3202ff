package service_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/service"
)

// things are ids of what the calls of a test name.
type things struct{ volume, snapshot, backup string }

// call is a use case. Needs is the least role; ids says which of the things it
// names, so that another project's can be tried.
type call struct {
	needs string
	run   func(ctx context.Context, s *service.Service, c backup.Caller, x things) error
	names string // of "volume", "snapshot", "backup"
}

var everything = service.List{Limit: 1000, AllProjects: true}

var name = "new"

// calls has every method of the service that takes a caller, by its name; a
// word after a blank tells variants apart.
var calls = map[string]call{
	"CreateVolume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.CreateVolume(ctx, c, service.NewVolume{SizeGiB: 1})
		return err
	}, ""},
	"CreateVolume snapshot": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.CreateVolume(ctx, c, service.NewVolume{SnapshotID: x.snapshot})
		return err
	}, "snapshot"},
	"CreateVolume volume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.CreateVolume(ctx, c, service.NewVolume{SourceVolumeID: x.volume})
		return err
	}, "volume"},
	"CreateVolume backup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.CreateVolume(ctx, c, service.NewVolume{BackupID: x.backup})
		return err
	}, "backup"},
	"Volume": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.Volume(ctx, c, x.volume)
		return err
	}, "volume"},
	"Volumes": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Volumes(ctx, c, everything)
		return err
	}, ""},
	"VolumeSummary": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, _, err := s.VolumeSummary(ctx, c, true)
		return err
	}, ""},
	"UpdateVolume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.UpdateVolume(ctx, c, x.volume, service.Update{Name: &name})
		return err
	}, "volume"},
	"SetVolumeMetadata": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.SetVolumeMetadata(ctx, c, x.volume, map[string]string{"a": "b"}, false)
		return err
	}, "volume"},
	"DeleteVolumeMetadata": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteVolumeMetadata(ctx, c, x.volume, "k")
	}, "volume"},
	"SetBootable": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.SetBootable(ctx, c, x.volume, true)
	}, "volume"},
	"DeleteVolume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteVolume(ctx, c, x.volume, service.Delete{})
	}, "volume"},
	"DeleteVolume force": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteVolume(ctx, c, x.volume, service.Delete{Force: true})
	}, "volume"},
	"ExtendVolume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.ExtendVolume(ctx, c, x.volume, 2)
	}, "volume"},
	"ResetVolume": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.ResetVolume(ctx, c, x.volume, backup.Errored)
	}, "volume"},
	"CreateSnapshot": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.CreateSnapshot(ctx, c, service.NewSnapshot{VolumeID: x.volume})
		return err
	}, "volume"},
	"Snapshot": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.Snapshot(ctx, c, x.snapshot)
		return err
	}, "snapshot"},
	"Snapshots": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Snapshots(ctx, c, everything)
		return err
	}, ""},
	"UpdateSnapshot": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.UpdateSnapshot(ctx, c, x.snapshot, service.Update{Name: &name})
		return err
	}, "snapshot"},
	"SetSnapshotMetadata": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.SetSnapshotMetadata(ctx, c, x.snapshot, map[string]string{"a": "b"}, true)
		return err
	}, "snapshot"},
	"DeleteSnapshotMetadata": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteSnapshotMetadata(ctx, c, x.snapshot, "k")
	}, "snapshot"},
	"DeleteSnapshot": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteSnapshot(ctx, c, x.snapshot, false)
	}, "snapshot"},
	"DeleteSnapshot force": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteSnapshot(ctx, c, x.snapshot, true)
	}, "snapshot"},
	"ResetSnapshot": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.ResetSnapshot(ctx, c, x.snapshot, backup.Errored)
	}, "snapshot"},
	"CreateBackup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.CreateBackup(ctx, c, service.NewBackup{VolumeID: x.volume})
		return err
	}, "volume"},
	"Backup": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.Backup(ctx, c, x.backup)
		return err
	}, "backup"},
	"Backups": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Backups(ctx, c, everything)
		return err
	}, ""},
	"UpdateBackup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.UpdateBackup(ctx, c, x.backup, service.Update{Name: &name})
		return err
	}, "backup"},
	"DeleteBackup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteBackup(ctx, c, x.backup, false)
	}, "backup"},
	"DeleteBackup force": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.DeleteBackup(ctx, c, x.backup, true)
	}, "backup"},
	"ResetBackup": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		return s.ResetBackup(ctx, c, x.backup, backup.Errored)
	}, "backup"},
	"RestoreBackup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.RestoreBackup(ctx, c, x.backup, service.RestoreRequest{})
		return err
	}, "backup"},
	"RestoreBackup over": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.RestoreBackup(ctx, c, x.backup, service.RestoreRequest{VolumeID: x.volume})
		return err
	}, "volume"},
	"CreatePathBackup": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, _, err := s.CreatePathBackup(ctx, c, service.PathBackup{Volume: "disk", Path: "/dev/null", Bytes: 1})
		return err
	}, ""},
	"PathVolume": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.PathVolume(ctx, c, "disk")
		return err
	}, ""},
	"RestoreToPath": {"member", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.RestoreToPath(ctx, c, x.backup, service.PathRestore{Path: "/dev/null"})
		return err
	}, "backup"},
	"ConfirmRecovery": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.ConfirmRecovery(ctx, c)
		return err
	}, ""},
	"StartCollect": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.StartCollect(ctx, c)
		return err
	}, ""},
	"StartMaintain": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.StartMaintain(ctx, c)
		return err
	}, ""},
	"StartHeal": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.StartHeal(ctx, c)
		return err
	}, ""},
	"VaultStats": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.VaultStats(ctx, c)
		return err
	}, ""},
	"Damage": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Damage(ctx, c)
		return err
	}, ""},
	"StartVerify": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, x things) error {
		_, err := s.StartVerify(ctx, c, service.VerifyOptions{Backups: []string{x.backup}})
		return err
	}, "backup"},
	"Types": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Types(ctx, c)
		return err
	}, ""},
	"Type": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Type(ctx, c, "local")
		return err
	}, ""},
	"DefaultType": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.DefaultType(ctx, c)
		return err
	}, ""},
	"Zones": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Zones(ctx, c)
		return err
	}, ""},
	"Services": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Services(ctx, c)
		return err
	}, ""},
	"SetService": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.SetService(ctx, c, "host", "cinder-backup", true, "")
		return err
	}, ""},
	"Limits": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Limits(ctx, c)
		return err
	}, ""},
	"Quotas": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Quotas(ctx, c, c.ProjectID)
		return err
	}, ""},
	"Quotas other": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.Quotas(ctx, c, "p5")
		return err
	}, ""},
	"QuotaDefaults": {"reader", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.QuotaDefaults(ctx, c, c.ProjectID)
		return err
	}, ""},
	"SetQuotas": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		_, err := s.SetQuotas(ctx, c, "p1", map[string]int64{backup.QuotaBackups: 100}, false)
		return err
	}, ""},
	"ResetQuotas": {"admin", func(ctx context.Context, s *service.Service, c backup.Caller, _ things) error {
		return s.ResetQuotas(ctx, c, "p1")
	}, ""},
}

func TestEveryCallIsInTheTable(t *testing.T) {
	known := map[string]bool{"MayAdmin": true} // asks for no right
	for n := range calls {
		n, _, _ := strings.Cut(n, " ")
		known[n] = true
	}
	typ := reflect.TypeFor[*service.Service]()
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		for j := range m.Type.NumIn() {
			if m.Type.In(j) == reflect.TypeFor[backup.Caller]() && !known[m.Name] {
				t.Errorf("%s takes a caller and is not tried", m.Name)
			}
		}
	}
}

func (x *site) things() things {
	v := x.volume(backup.Available, 1)
	return things{volume: v, snapshot: x.snapshot(x.volume(backup.Available, 1), backup.Available), backup: x.backup(v, backup.Available, nil)}
}

func TestRoles(t *testing.T) {
	x := newSite(t, "", options{})
	rank := map[string]int{"": 0, "reader": 1, "member": 2, "admin": 3}
	own := admin
	own.ProjectID = "p1"
	for n, c := range calls {
		for role, who := range map[string]backup.Caller{"": nobody, "reader": reader, "member": member, "admin": own} {
			err := c.run(x.ctx(), x.s, who, x.things())
			denied := backup.ReasonOf(err) == backup.PolicyDenied
			if allowed := rank[role] >= rank[c.needs]; denied == allowed || denied && backup.KindOf(err) != backup.Forbidden {
				t.Errorf("%s as %q: %v", n, role, err)
			}
		}
		if err := c.run(x.ctx(), x.s, unbound, x.things()); backup.ReasonOf(err) != backup.PolicyDenied {
			t.Errorf("%s without a project: %v", n, err)
		}
	}
}

// Another project's things answer as if there were none of that id, and stay
// as they are.
func TestOtherProjects(t *testing.T) {
	x := newSite(t, "", options{})
	for n, c := range calls {
		if c.names == "" || c.needs == "admin" {
			continue
		}
		mine, theirs := x.things(), x.things()
		x.update(foreignTo(theirs))
		none := things{uuid.NewString(), uuid.NewString(), uuid.NewString()}
		switch c.names {
		case "volume":
			none.backup, theirs.backup = mine.backup, mine.backup
		}
		got, want := c.run(x.ctx(), x.s, member, theirs), c.run(x.ctx(), x.s, member, none)
		wantReason(t, want, backup.NotFound, backup.Reason(c.names+" not found"))
		same := strings.NewReplacer(theirs.volume, "", theirs.snapshot, "", theirs.backup, "").Replace(text(got)) ==
			strings.NewReplacer(none.volume, "", none.snapshot, "", none.backup, "").Replace(text(want))
		if !same || backup.KindOf(got) != backup.NotFound || backup.ReasonOf(got) != backup.ReasonOf(want) {
			t.Errorf("%s: %v for another project's, %v for none", n, got, want)
		}
		if s := x.volumeStatus(theirs.volume); s != backup.Available {
			t.Errorf("%s: the other's volume is %s", n, s)
		}
		if c.names == "backup" {
			if s := x.backupStatus(theirs.backup); s != backup.Available {
				t.Errorf("%s: the other's backup is %s", n, s)
			}
		}
	}
	p, err := x.s.Backups(x.ctx(), foreign, service.List{Limit: 1000, AllProjects: true})
	must(t, err)
	for _, b := range p.Items {
		if b.ProjectID != foreign.ProjectID {
			t.Errorf("a member sees a backup of %s", b.ProjectID)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
