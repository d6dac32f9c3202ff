package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	pgConns     = 16
	pgIdleConns = 4
	pgIdleTime  = 5 * time.Minute

	// migrateLock is the advisory lock that one process at a time holds
	// while it brings the tables up to date.
	migrateLock = 0x686f6c6466617374
)

func openPostgres(ctx context.Context, cfg Config) (*DB, error) {
	pc, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, err
	}
	if pc.RuntimeParams["application_name"] == "" {
		pc.RuntimeParams["application_name"] = "holdfast"
	}
	pool := stdlib.OpenDB(*pc)
	pool.SetMaxOpenConns(pgConns)
	pool.SetMaxIdleConns(pgIdleConns)
	pool.SetConnMaxIdleTime(pgIdleTime)
	if err := migratePostgres(ctx, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &DB{write: pool, read: pool, postgres: true, clock: cfg.Clock}, nil
}

func migratePostgres(ctx context.Context, pool *sql.DB) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrateLock)); err != nil {
		return fmt.Errorf("wait for another process's migration: %w", err)
	}
	err = migrate(ctx, pool, goose.DialectPostgres)
	_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrateLock))
	return errors.Join(err, unlockErr)
}
