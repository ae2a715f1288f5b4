package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
)

type serveCmd struct {
	configured
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context) error {
	o, err := c.load()
	if err != nil {
		return err
	}
	o.Version = version
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	greet(ctx, a, o)
	app.TuneMemory()
	return a.Run(ctx)
}

// greet tells the person at the terminal where the server is, the first token,
// and what is still missing.
func greet(ctx context.Context, a *app.App, o app.Options) {
	out := os.Stdout
	fmt.Fprintf(out, "Rollcall listens on %s and is reached at %s\n", a.Addr(), a.URL())
	if u := a.OpsURL(); u != "" {
		fmt.Fprintf(out, "  health and metrics  %s/healthz /readyz /metrics\n", u)
	}
	fmt.Fprintf(out, "  admin API           %s/api/v1 (described at /api/v1/openapi.json)\n", a.URL())
	fmt.Fprintf(out, "  console             %s/console/\n", a.URL())
	fmt.Fprintf(out, "  enrollment link     %s/enroll\n", a.URL())
	fmt.Fprintf(out, "  database            %s\n", databaseKind(o.Database))
	if t := a.FirstToken(); t != "" {
		fmt.Fprintf(out, "\n  First admin token, shown this once:\n    %s\n", t)
	}
	if code := a.SetUpCode(); code != "" {
		fmt.Fprintf(out, "\n  Nobody can sign in to the console yet. Open %s\n  and type this code, which is good until the next start:\n    %s\n", a.SetUpURL(), code)
	}
	if missing := a.Missing(ctx); len(missing) > 0 {
		fmt.Fprintln(out, "\nStill missing before phones can enroll:")
		for _, m := range missing {
			fmt.Fprintf(out, "  - %s\n    %s\n", m.Text, m.Fix)
		}
	}
	fmt.Fprintln(out)
}

type migrateCmd struct {
	configured
}

// Run implements the command.
func (c *migrateCmd) Run(ctx context.Context) error {
	_, store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	fmt.Println("the database has this version's schema")
	return nil
}

// recoverTokenCmd works on the database itself, so that who has lost every
// token can get a new one.
type recoverTokenCmd struct {
	configured
	Name string `help:"What the token is for." required:""`
	Role string `help:"What it may do." enum:"viewer,operator,admin" default:"admin"`
}

// Run implements the command.
func (c *recoverTokenCmd) Run(ctx context.Context) error {
	_, store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	t, secret := admin.NewToken(c.Name, admin.Role(c.Role), time.Now(), time.Time{})
	if err := store.CreateToken(ctx, t); err != nil {
		return err
	}
	fmt.Println(secret)
	return nil
}
