package admin

import (
	"log/slog"
	"time"

	"rollcall/admin/credential"
)

// What brokenAPI has for administrators: calls panic, since nothing is there.
type (
	brokenPeople struct{ AdministratorStore }
	brokenViews  struct{ ViewStore }
)

func brokenAdministrators() *Administrators {
	return &Administrators{Store: brokenPeople{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Hasher: credential.NewHasher()}
}
