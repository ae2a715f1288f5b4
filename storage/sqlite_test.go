package storage_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func TestSQLite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) *storage.Store { return storagetest.Open(t, storagetest.SQLite(t)) })
}
