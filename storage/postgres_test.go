package storage_test

import (
	"testing"

	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

func TestPostgres(t *testing.T) {
	if pgtest.Skipped() {
		return // TestMain says so
	}
	template := pgtest.Name()
	dsn, err := pgtest.Shared(t).NewDatabase(template)
	if err != nil {
		t.Fatal(err)
	}
	storagetest.Migrate(t, dsn)
	storagetest.Run(t, func(t *testing.T) *storage.Store { return storagetest.Open(t, pgtest.Database(t, template)) })
}
