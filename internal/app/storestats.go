package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// BareStats is what one vault of a bare store holds. Sizes are in bytes.
type BareStats struct {
	Vault   string      `json:"vault"`
	Backups int64       `json:"backups"` // whose record can be read
	Lost    int64       `json:"lost"`    // backups whose record can't be read
	Logical int64       `json:"logical"` // of the volumes that the backups show
	Stored  int64       `json:"stored"`  // of all objects
	Dedup   float64     `json:"dedup"`   // how many times more the backups show
	Objects []RoomStats `json:"objects"` // by kind
}

// RoomStats counts a vault's objects of one kind.
type RoomStats struct {
	Kind    string `json:"kind"` // the folder that they lie in
	Objects int64  `json:"objects"`
	Size    int64  `json:"size"`
}

// Stats tells what each vault of the store holds, and of which project's
// backups: by its id, or of all where it is empty.
func (s *Store) Stats(ctx context.Context, project string) ([]BareStats, error) {
	vaults := map[string]*BareStats{}
	mine := map[string]bool{}
	of := func(id string) *BareStats {
		if vaults[id] == nil {
			vaults[id] = &BareStats{Vault: id, Objects: []RoomStats{}}
		}
		return vaults[id]
	}
	for _, b := range s.bare.Backups() {
		v := of(b.Vault.String())
		if b.Err != nil {
			v.Lost++
			continue
		}
		v.Backups++
		v.Logical += b.Record.Size
		mine[v.Vault] = mine[v.Vault] || b.Record.Info.Project == project
	}
	err := s.store.List(ctx, format.Root, func(o blob.Info) error {
		parts := strings.SplitN(strings.TrimPrefix(o.Name, format.Root), "/", 3)
		if _, ok := format.ParseID(parts[0]); ok && len(parts) == 3 {
			of(parts[0]).add(parts[1], o.Size)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	all := []BareStats{}
	for _, v := range vaults {
		if project == "" || mine[v.Vault] {
			slices.SortFunc(v.Objects, func(x, y RoomStats) int { return cmp.Compare(x.Kind, y.Kind) })
			v.Dedup = dedup(v.Logical, v.Stored)
			all = append(all, *v)
		}
	}
	slices.SortFunc(all, func(x, y BareStats) int { return cmp.Compare(x.Vault, y.Vault) })
	return all, nil
}

func (v *BareStats) add(kind string, size int64) {
	i := slices.IndexFunc(v.Objects, func(r RoomStats) bool { return r.Kind == kind })
	if i < 0 {
		i = len(v.Objects)
		v.Objects = append(v.Objects, RoomStats{Kind: kind})
	}
	v.Objects[i].Objects++
	v.Objects[i].Size += size
	v.Stored += size
}
