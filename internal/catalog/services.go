package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/backup"
)

// Service is one program of the installation on one host.
type Service struct {
	Binary    string
	Host      string
	Zone      string
	Disabled  bool
	Reason    string // why it was disabled
	UpdatedAt time.Time
}

// BeatService says that a service is up, and adds it where it is new. Whether
// it is disabled stays as it is.
func (tx *Tx) BeatService(ctx context.Context, s Service) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO services (program, host, zone, disabled, reason, updated_at) VALUES ($1, $2, $3, 0, '', $4)
		ON CONFLICT (program, host) DO UPDATE SET zone = excluded.zone, updated_at = excluded.updated_at`,
		s.Binary, s.Host, s.Zone, tx.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("beat of service %s: %w", s.Binary, err)
	}
	return nil
}

// Services returns all services by name and host.
func (tx *Tx) Services(ctx context.Context) ([]Service, error) {
	rows, err := tx.Query(ctx, "SELECT program, host, zone, disabled, reason, updated_at FROM services ORDER BY program, host")
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	defer rows.Close()
	var all []Service
	for rows.Next() {
		s, err := scanService(rows)
		if err != nil {
			return nil, fmt.Errorf("list services: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// SetService enables or disables a service by its binary and host, and
// returns what it is then. An unknown one is an error of kind NotFound.
func (tx *Tx) SetService(ctx context.Context, s Service) (Service, error) {
	row := tx.QueryRow(ctx, `UPDATE services SET disabled = $1, reason = $2 WHERE program = $3 AND host = $4
		RETURNING program, host, zone, disabled, reason, updated_at`, Cell{&s.Disabled}, s.Reason, s.Binary, s.Host)
	set, err := scanService(row)
	if errors.Is(err, sql.ErrNoRows) {
		return set, backup.Errorf(backup.NotFound, "there is no service %s on host %s", s.Binary, s.Host)
	}
	if err != nil {
		return set, fmt.Errorf("set service %s on host %s: %w", s.Binary, s.Host, err)
	}
	return set, nil
}

func scanService(row interface{ Scan(...any) error }) (Service, error) {
	var s Service
	err := row.Scan(&s.Binary, &s.Host, &s.Zone, Cell{&s.Disabled}, &s.Reason, Cell{&s.UpdatedAt})
	return s, err
}
