package storage_test

import (
	"os"
	"path/filepath"
	"testing"

	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestSQLite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) *storage.Store {
		return storagetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "rollcall.db"))
	})
}
