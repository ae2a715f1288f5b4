package storagetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"rollcall/storage"
	"rollcall/storage/pgtest"
)

// SQLite gives the DSN of a database of its own that has the schema. The schema
// is made once in a process, and copied.
func SQLite(t testing.TB) (dsn string) {
	t.Helper()
	file, err := sqliteSchema()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rollcall.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

var sqliteSchema = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "rollcall-schema-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rollcall.db")
	if err := migrate("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Postgres gives the DSN of a database of its own that has the schema, like
// SQLite.
func Postgres(t testing.TB) (dsn string) {
	t.Helper()
	cluster := pgtest.Shared(t)
	postgresSchema.once.Do(func() {
		name := pgtest.Name()
		empty, err := cluster.NewDatabase(name)
		if err == nil {
			err = migrate(empty)
		}
		postgresSchema.name, postgresSchema.err = name, err
	})
	if postgresSchema.err != nil {
		t.Fatal(postgresSchema.err)
	}
	return pgtest.Database(t, postgresSchema.name)
}

var postgresSchema struct {
	once sync.Once
	name string
	err  error
}

// migrate makes the schema in an empty database.
func migrate(dsn string) error {
	s, err := storage.Open(context.Background(), config(dsn))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		return fmt.Errorf("storagetest: make the schema: %w", err)
	}
	return nil
}
