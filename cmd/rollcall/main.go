// Command rollcall is the enrollment server and everything around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"rollcall/cmd/rollcall/client"
)

// version is set by the build.
var version = "dev"

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Demo    demoCmd    `cmd:"" help:"Show everything with simulated phones and a simulated Apple, in under a minute."`
	Bench   benchCmd   `cmd:"" help:"Measure this machine, beside the targets."`
	Sim     simCmd     `cmd:"" help:"Run a simulator as a program of its own."`
	Doctor  doctorCmd  `cmd:"" help:"Tell what a deployment lacks."`
	Migrate migrateCmd `cmd:"" help:"Bring the database to this version's schema (serve does it by itself)."`
	Config  configCmd  `cmd:"" help:"Look at the configuration."`

	RecoverToken recoverTokenCmd `cmd:"" help:"Make an API token on the machine that has the database, where all others are lost."`

	client.Commands

	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run is main with an exit code: 0 done, 1 failed, 2 wrong usage, 3 conflict.
func run(ctx context.Context, args []string) int {
	var c cli
	parser, err := kong.New(&c, kong.Name("rollcall"), kong.Description("Enrollment server for Apple and Android devices."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}), kong.Configuration(loadFile), kong.Vars{"version": version}, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "rollcall:", err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "rollcall: %v\n  -> rollcall --help, or --help after a command, tells the flags.\n", err)
		return 2
	}
	if err := parsed.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "rollcall:", err)
		var refused *client.Error
		if errors.As(err, &refused) {
			return refused.ExitCode()
		}
		return 1
	}
	return 0
}
