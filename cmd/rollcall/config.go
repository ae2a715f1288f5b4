package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"rollcall/cmd/rollcall/app"
	"rollcall/storage"
)

// configured is the options of a server. A flag beats the environment, which
// beats the file.
type configured struct {
	Config kong.ConfigFlag `help:"Configuration file: a JSON object whose keys are the names of the flags." env:"ROLLCALL_CONFIG"`
	app.Options
}

func (c *configured) load() (app.Options, error) { return c.Options, c.Options.Check() }

// open opens the database, which migrates it, for a command that works on it
// without a server. The caller closes it.
func (c *configured) open(ctx context.Context) (app.Options, *storage.Store, error) {
	o, err := c.load()
	if err != nil {
		return o, nil, err
	}
	store, err := app.OpenStore(ctx, o)
	return o, store, err
}

// fileResolver gives flags the values of a configuration file.
type fileResolver map[string]any

// loadFile is a kong.ConfigurationLoader.
func loadFile(r io.Reader) (kong.Resolver, error) {
	dec := json.NewDecoder(io.LimitReader(r, 1<<20))
	dec.UseNumber()
	var values fileResolver
	if err := dec.Decode(&values); err != nil {
		return nil, fmt.Errorf("the configuration file is not a JSON object: %w", err)
	}
	return values, nil
}

// Validate implements kong.Resolver: a key that is no flag of the server is
// refused, since a typing error must not pass for a setting.
func (f fileResolver) Validate(k *kong.Application) error {
	known := map[string]bool{}
	for _, command := range k.Children {
		if command.Name != "serve" {
			continue
		}
		for _, flag := range command.Flags {
			known[flag.Name] = true
		}
	}
	for key := range f {
		if !known[key] || key == "config" || key == "help" {
			return fmt.Errorf("the configuration file has the unknown key %q; the keys are %s", key, strings.Join(sorted(known), ", "))
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (f fileResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	v, ok := f[flag.Name]
	if !ok {
		return nil, nil
	}
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ","), nil
	}
	return v, nil
}

func sorted(known map[string]bool) []string {
	out := make([]string, 0, len(known))
	for k := range known {
		if k != "config" && k != "help" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say whether the configuration can work."`
}

type configCheckCmd struct {
	configured
}

// Run implements the command.
func (c *configCheckCmd) Run() error {
	o, err := c.load()
	if err != nil {
		return err
	}
	fmt.Printf("the configuration can work: listens on %s, database %s\n", o.Listen, databaseKind(o.Database))
	return nil
}

// databaseKind names a database without what its DSN keeps secret.
func databaseKind(dsn string) string {
	if strings.HasPrefix(dsn, "sqlite:") {
		return dsn
	}
	return "PostgreSQL"
}
