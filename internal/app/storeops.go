package app

import (
	"context"

	"holdfast/internal/vault"
)

// VerifyAll verifies all backups of the store, a project's by its id, or those
// that are named. It finds damage and changes nothing. A record that can't be
// read is damage.
func (s *Store) VerifyAll(ctx context.Context, r VerifyRequest) ([]VerifiedOf, error) {
	var refs []vault.RecordRef
	var lost []vault.DamagedBackup
	for _, id := range r.Backups {
		b, err := s.find(r.Project, id)
		if err != nil {
			return nil, err
		}
		refs = append(refs, b.Ref)
	}
	for _, b := range s.bare.Backups() {
		switch {
		case len(r.Backups) > 0:
		case b.Err != nil: // it may be anyone's
			it := bareItem(b)
			lost = append(lost, vault.DamagedBackup{Backup: it.ID, Record: b.Ref.Object, What: it.FailReason, Whole: true})
		case r.Project == "" || r.Project == b.Record.Info.Project:
			refs = append(refs, b.Ref)
		}
	}
	found, err := s.bare.Verify(ctx, vault.VerifyRequest{
		Backups: refs, ReadData: r.ReadData, Sample: r.Sample,
		Progress: func(p vault.VerifyProgress) {
			if r.Progress != nil {
				r.Progress(Progress{Done: p.Done, Size: p.Size})
			}
		},
	})
	if err != nil {
		return nil, err
	}
	found.Backups += len(lost)
	found.DamagedBackups = append(found.DamagedBackups, lost...)
	return []VerifiedOf{verifiedOf(Of{Project: r.Project}, Verified{VerifyReport: found})}, nil
}
