package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Sealer seals secrets for a purpose; certs.Sealer is one.
type Sealer interface {
	Seal(purpose string, plain []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Config says which database to open and how.
type Config struct {
	// DSN is "sqlite:PATH", "sqlite::memory:" (a temporary file that Close
	// removes) or a "postgres://" URL. A URL without sslmode gets
	// sslmode=disable for a socket or loopback host and sslmode=require for
	// any other.
	DSN string
	// Sealer seals the columns that hold secrets. Required.
	Sealer Sealer
	// MaxConns is the size of PostgreSQL's pool, or of SQLite's pool of
	// readers; 0: 16, or 4.
	MaxConns int
	// Logger tells of retried transactions and migrations; nil: slog.Default.
	Logger *slog.Logger
}

// Store keeps everything that must survive. It implements the store interfaces
// of enroll, policy, mdm, mdm/apns, certs and admin. Safe for concurrent use,
// by any number of servers on one PostgreSQL database.
type Store struct {
	engine
	sealer Sealer
	log    *slog.Logger
	chain  chainKey
	sizes  groupSizes
}

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Sealer == nil {
		return nil, errors.New("storage: a sealer is required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	var e engine
	var err error
	switch {
	case strings.HasPrefix(cfg.DSN, "sqlite:"):
		e, err = openSQLite(ctx, strings.TrimPrefix(cfg.DSN, "sqlite:"), cfg.MaxConns, cfg.Logger)
	case strings.HasPrefix(cfg.DSN, "postgres://"), strings.HasPrefix(cfg.DSN, "postgresql://"):
		e, err = openPostgres(ctx, cfg.DSN, cfg.MaxConns, cfg.Logger)
	default:
		// The DSN may hold a password, so it is not repeated.
		return nil, errors.New(`storage: the database must be "sqlite:PATH" or "postgres://..."`)
	}
	if err != nil {
		return nil, fmt.Errorf("storage: open: %w", unavailable(err))
	}
	return &Store{engine: e, sealer: cfg.Sealer, log: cfg.Logger}, nil
}

// Close waits for running transactions and closes the database.
func (s *Store) Close() error { return s.close() }

// Ping says whether the database answers; enroll.KindUnavailable when not.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.one(ctx, &one, `SELECT 1`)
}

// Migrate brings the schema up to date; Open has done so already. Of several
// servers that start at once, one migrates and the others wait.
func (s *Store) Migrate(ctx context.Context) error { return unavailable(s.migrate(ctx)) }

// Engine is "sqlite" or "postgres".
func (s *Store) Engine() string { return s.name() }

// one reads one row in one statement; sql.ErrNoRows when there is none.
func (s *Store) one(ctx context.Context, dest any, query string, args ...any) error {
	return unavailable(s.reader(ctx).get(ctx, dest, query, args...))
}

// all reads rows in one statement.
func (s *Store) all(ctx context.Context, dest any, query string, args ...any) error {
	return unavailable(s.reader(ctx).all(ctx, dest, query, args...))
}

// seal encrypts a column of a row; nil stays nil.
func (s *Store) seal(column, key string, plain []byte) ([]byte, error) {
	if plain == nil {
		return nil, nil
	}
	sealed, err := s.sealer.Seal(column+"/"+key, plain)
	if err != nil {
		return nil, fmt.Errorf("storage: seal %s: %w", column, err)
	}
	return sealed, nil
}

// unseal is the inverse of seal.
func (s *Store) unseal(column, key string, sealed []byte) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	plain, err := s.sealer.Open(column+"/"+key, sealed)
	if err != nil {
		return nil, fmt.Errorf("storage: open %s: %w", column, err)
	}
	return plain, nil
}

// now is for what no caller names a time for, to the precision that is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
