package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
)

type doctorCmd struct {
	configured
}

// Run implements the command: it fails when something is in the way of
// enrollment.
func (c *doctorCmd) Run(ctx context.Context) error {
	c.LogLevel = "error"
	o, store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	failed := false
	for _, f := range append(app.Examine(ctx, o, store, time.Now()), app.ExamineMail(ctx, o)...) {
		fmt.Printf("%-5s %s\n", f.Level, f.Text)
		if f.Fix != "" {
			fmt.Printf("      -> %s\n", f.Fix)
		}
		failed = failed || f.Level == admin.LevelFail
	}
	if failed {
		return errors.New("phones cannot enroll yet; see the lines marked fail")
	}
	return nil
}
