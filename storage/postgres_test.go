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
	storagetest.Run(t, func(t *testing.T) *storage.Store { return storagetest.Open(t, storagetest.Postgres(t)) })
}
