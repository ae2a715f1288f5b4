package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

func provider(dialect goose.Dialect, folder string, db *sqlx.DB, log *slog.Logger, opts ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, err
	}
	opts = append(opts, goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	return goose.NewProvider(dialect, db.DB, files, opts...)
}

// up applies what is pending.
func up(ctx context.Context, p *goose.Provider, log *slog.Logger) error {
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range done {
		log.InfoContext(ctx, "schema migrated", "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}

// migrate takes PostgreSQL's advisory lock only when something is pending, so
// that a server that starts beside running ones waits for nobody.
func (e *postgresEngine) migrate(ctx context.Context) error {
	var version int
	if err := e.db.GetContext(ctx, &version, `SELECT current_setting('server_version_num')::int`); err != nil {
		return err
	}
	if version < 140000 {
		return fmt.Errorf("PostgreSQL 14 or later is needed, this is %d", version/10000)
	}
	p, err := provider(goose.DialectPostgres, "postgres", e.db, e.log, goose.WithSessionLocker(migrationLock{}))
	if err != nil {
		return err
	}
	var known bool
	if err := e.db.GetContext(ctx, &known, `SELECT to_regclass('goose_db_version') IS NOT NULL`); err != nil {
		return err
	}
	if known {
		if pending, err := p.HasPending(ctx); err != nil || !pending {
			return err
		}
	}
	return up(ctx, p, e.log)
}

// migrationLock is a lock.SessionLocker that is handed over at once; goose's
// own asks again every second.
type migrationLock struct{}

var _ lock.SessionLocker = migrationLock{}

func (migrationLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(mutexMigrations))
	return err
}

func (migrationLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(mutexMigrations))
	return err
}

// migrate holds the whole file while it migrates: a connection in exclusive
// locking mode keeps its lock until it is closed, which the end of the process
// does too.
func (e *sqliteEngine) migrate(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		pending, err := e.pending(ctx)
		if err != nil || !pending {
			return err
		}
		err = e.migrateAlone(ctx)
		if err == nil || !busySQLite(err) || attempt == 100 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond): // another process migrates or serves
		}
	}
}

func (e *sqliteEngine) pending(ctx context.Context) (bool, error) {
	db, err := e.open(busyTimeout)
	if err != nil {
		return false, err
	}
	defer db.Close()
	var known bool
	if err := db.GetContext(ctx, &known, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'goose_db_version')`); err != nil || !known {
		return true, err
	}
	p, err := provider(goose.DialectSQLite3, "sqlite", db, e.log)
	if err != nil {
		return false, err
	}
	return p.HasPending(ctx)
}

func (e *sqliteEngine) migrateAlone(ctx context.Context) (err error) {
	db, err := e.open(100*time.Millisecond, "locking_mode(EXCLUSIVE)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `BEGIN EXCLUSIVE; COMMIT`); err != nil {
		return err
	}
	p, err := provider(goose.DialectSQLite3, "sqlite", db, e.log)
	if err != nil {
		return err
	}
	return up(ctx, p, e.log)
}
