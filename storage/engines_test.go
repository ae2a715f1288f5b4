package storage

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"rollcall/certs"
	"rollcall/storage/pgtest"
)

// testConfig is how internal tests open a database.
func testConfig(t testing.TB, dsn string) Config {
	t.Helper()
	sealer, err := certs.NewSealer(certs.Key{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return Config{DSN: dsn, Sealer: sealer, Logger: slog.New(slog.DiscardHandler)}
}

func openTest(t testing.TB, dsn string) *Store {
	t.Helper()
	s, err := Open(context.Background(), testConfig(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// onEngines runs a test with the DSN of an empty database of each engine.
func onEngines(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "rollcall.db")) })
	if !pgtest.Skipped() {
		t.Run("postgres", func(t *testing.T) { test(t, pgtest.Database(t, "")) })
	}
}
