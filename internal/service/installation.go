package service

import (
	"context"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// A service that has not been heard of for this long is down.
const downAfter = 60 * time.Second

// The services that this installation stands for, as Cinder names them.
var binaries = []string{"cinder-backup", "cinder-volume", "cinder-scheduler"}

// Types returns the volume types, the default one first.
func (s *Service) Types(_ context.Context, c backup.Caller) ([]backup.VolumeType, error) {
	if err := authorise(c, ruleTypeGet); err != nil {
		return nil, err
	}
	return s.cfg.Types, nil
}

// Type returns a volume type by id or name.
func (s *Service) Type(_ context.Context, c backup.Caller, idOrName string) (backup.VolumeType, error) {
	if err := authorise(c, ruleTypeGet); err != nil {
		return backup.VolumeType{}, err
	}
	return s.volumeType(idOrName)
}

// DefaultType returns the type of volumes that ask for none.
func (s *Service) DefaultType(_ context.Context, c backup.Caller) (backup.VolumeType, error) {
	if err := authorise(c, ruleTypeGet); err != nil {
		return backup.VolumeType{}, err
	}
	return s.volumeType("")
}

func (s *Service) volumeType(idOrName string) (backup.VolumeType, error) {
	for _, t := range s.cfg.Types {
		if idOrName == "" || t.ID == idOrName || t.Name == idOrName {
			return t, nil
		}
	}
	return backup.VolumeType{}, notFound(backup.TypeNotFound, idOrName)
}

// Zones returns the availability zones.
func (s *Service) Zones(_ context.Context, c backup.Caller) ([]string, error) {
	if err := authorise(c, ruleZones); err != nil {
		return nil, err
	}
	return []string{s.cfg.Zone}, nil
}

// Services returns the state of each service on each host.
func (s *Service) Services(ctx context.Context, c backup.Caller) ([]ServiceInfo, error) {
	if err := authorise(c, ruleServices); err != nil {
		return nil, err
	}
	var all []ServiceInfo
	err := s.db.View(ctx, func(tx *catalog.Tx) error {
		rows, err := tx.Services(ctx)
		if err != nil {
			return err
		}
		all = make([]ServiceInfo, 0, len(rows))
		for _, r := range rows {
			all = append(all, s.serviceInfo(r))
		}
		return nil
	})
	return all, err
}

func (s *Service) serviceInfo(r catalog.Service) ServiceInfo {
	return ServiceInfo{
		Binary: r.Binary, Host: r.Host, Zone: r.Zone, Enabled: !r.Disabled,
		Up:        s.cfg.Clock.Now().Sub(r.UpdatedAt) < downAfter,
		UpdatedAt: r.UpdatedAt.UnixMicro(), DisabledReason: r.Reason,
	}
}

// SetService enables or disables a service of a host.
func (s *Service) SetService(ctx context.Context, c backup.Caller, host, binary string, enabled bool, reason string) (ServiceInfo, error) {
	if err := authorise(c, ruleServicesSet); err != nil {
		return ServiceInfo{}, err
	}
	var info ServiceInfo
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		row, err := tx.SetService(ctx, catalog.Service{Binary: binary, Host: host, Disabled: !enabled, Reason: reason})
		info = s.serviceInfo(row)
		return err
	})
	return info, err
}

// Beat says that this host's services are up. It is to be called more often
// than once a minute.
func (s *Service) Beat(ctx context.Context) error {
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		for _, b := range binaries {
			if err := tx.BeatService(ctx, catalog.Service{Binary: b, Host: s.cfg.Host, Zone: s.cfg.Zone}); err != nil {
				return err
			}
		}
		return nil
	})
}
