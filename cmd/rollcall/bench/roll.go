package bench

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/enroll"
)

// fullRoll is the name of the database with the full roll.
const fullRoll = "rollcall_bench_roll"

// withRoll measures what a full roll costs: decisions of the gate, made in this
// process, then what a server answers about the same devices.
func (b *bench) withRoll(ctx context.Context) error {
	if !b.wants(partGate) && !b.wants(partList) && !b.wants(partExport) && !b.wants(partConsole) {
		return nil
	}
	db, err := b.engine.create(fullRoll)
	if err != nil {
		return err
	}
	defer db.drop(b.engine, fullRoll)
	o := app.Options{DataDir: filepath.Join(b.dir, "roll"), Database: db.dsn, TLS: app.TLSOwn, MaxConns: 16, LogLevel: "error"}
	if err := o.Check(); err != nil {
		return err
	}
	if b.result.Version, err = db.look(ctx); err != nil {
		return err
	}
	if err := b.fillRoll(ctx, o, db); err != nil {
		return err
	}
	s := &site{bench: b, server: &process{}, log: filepath.Join(b.dir, "roll-server.log"), db: db}
	if s.Stage, err = stage.Start(ctx, stage.Options{Database: db.dsn, LogLevel: "warn", Log: io.Discard, Elsewhere: s.server.elsewhere(s.log),
		Change: func(of *app.Options) { of.DataDir = o.DataDir }}); err != nil {
		return err
	}
	defer s.Stop()
	return b.steps(ctx, []step{{partList, s.lists}, {partExport, s.exports}, {partConsole, s.consoles}})
}

// fillRoll makes the roll, and asks the gate while no server has the database.
func (b *bench) fillRoll(ctx context.Context, o app.Options, db *database) error {
	started := time.Now()
	store, err := app.OpenStore(ctx, o)
	if err != nil {
		return err
	}
	defer store.Close()
	enforce := func(s *enroll.Settings) { s.PreEnrolledDevicesOnly = enroll.ModeEnforce }
	if _, err := enroll.NewRestrictions(store, store, time.Now).ChangeSettings(ctx, enforce); err != nil {
		return err
	}
	platform, ownership := enroll.PlatformIOS, enroll.OwnershipCorporate
	if _, _, _, err := enroll.NewRoll(store, time.Now).Put(ctx, rollTemplate, enroll.DeviceInput{Platform: &platform, Ownership: &ownership,
		User: &enroll.User{Domain: enroll.DefaultDomain, Email: rollOwner, Name: "Template"}}); err != nil {
		return err
	}
	if err := store.CreateGroup(ctx, enroll.Group{ID: rollGroup, Name: rollGroup}); err != nil {
		return err
	}
	if err := db.roll(ctx, b.scale.Roll); err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "%-9s %-12s %5.1f s\n", b.engine.name, "the roll", time.Since(started).Seconds())
	if b.wants(partConsole) { // its log shows decisions
		if _, err := b.decisions(ctx, enroll.NewGate(store, time.Now), 1, 5); err != nil {
			return err
		}
	}
	return b.steps(ctx, []step{{partGate, func(ctx context.Context) error { return b.gate(ctx, db, store) }}})
}
