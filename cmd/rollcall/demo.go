package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/applepki"
	"rollcall/sim/dep"
	"rollcall/sim/iphone"
	"rollcall/sim/mail"
)

type demoCmd struct {
	Keep     bool   `help:"Leave the server running at the end, on the demo's data."`
	Database string `help:"Database to show it on; default: SQLite in a temporary folder."`
	Verbose  bool   `help:"Show the server's log."`
}

// demo is one run of the demonstration.
type demo struct {
	*stage.Stage
	out      io.Writer
	post     *mail.Server
	rows     []demoRow
	links    map[string]string // serial -> enrollment link
	arrivals []arrival
	dep      *dep.Cloud
	accounts []demoAccount
	ipad     *iphone.Phone // that waits in Setup Assistant
	google   *google
	leave    []func() // ends the phones that go on checking in
}

// arrival is one line of the closing table.
type arrival struct {
	who, serial string
	refusal     string // what the device was told; empty: it was admitted
	decision    decisionView
}

const demoTimeout = time.Minute

// Run implements the command.
func (c *demoCmd) Run(ctx context.Context) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	post, err := mail.New(mail.Options{})
	if err != nil {
		return err
	}
	defer post.Close()
	temporary, err := os.MkdirTemp("", "rollcall-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	apple, err := applepki.New()
	if err != nil {
		return err
	}
	roots := filepath.Join(temporary, "dep.pem")
	cloud, err := startDEP(apple, roots)
	if err != nil {
		return err
	}
	defer cloud.Close()
	g, err := startGoogle()
	if err != nil {
		return err
	}
	defer g.close()
	o := c.options(post, filepath.Join(temporary, "mail.pem"))
	o.Apple = apple
	others := o.Change
	o.Change = func(a *app.Options) {
		others(a)
		a.DEPURL, a.DEPRoots = cloud.URL(), roots
		g.options(a)
	}
	s, err := stage.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Stop()
	g.trust(s.Roots)
	d := &demo{Stage: s, out: os.Stdout, post: post, dep: cloud, google: g, links: map[string]string{}}
	defer func() {
		for _, end := range d.leave {
			end()
		}
	}()
	fmt.Fprintf(d.out, "Rollcall at %s, among a simulated Apple (device certificates, push service, DEP, phones), a simulated Google and a mail server.\n\n", s.URL())
	for _, step := range []func(context.Context) error{d.putOnRoll, d.importPurchase, d.syncDEP, d.bindPolicy, d.restrict, d.invite, d.arrive, d.repair, d.unbox, d.scan, d.signUp, d.table, d.explain} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nDone in %.1f s. Everything above went over the wire as with real devices: TLS, SCEP, HTTP/2, SMTP, OAuth.\n", time.Since(started).Seconds())
	if !c.Keep {
		return nil
	}
	fmt.Fprintf(d.out, "\nThe server goes on at %s until you press Ctrl-C.\n", s.URL())
	if err := d.openConsole(ctx, s.App); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  admin token: %s\n  try: curl -k -H 'Authorization: Bearer %s' %s/api/v1/devices\n  or:  bin/rollcall device list --insecure --server %s --token %s\n", s.Token, s.Token, s.URL(), s.URL(), s.Token)
	return waitForInterrupt(context.WithoutCancel(ctx))
}

// options are those of a server that can send mail.
func (c *demoCmd) options(post *mail.Server, roots string) stage.Options {
	o := stage.Options{Database: c.Database, Log: io.Discard}
	if c.Verbose {
		o.Log, o.LogLevel = os.Stderr, "info"
	}
	o.Change = func(a *app.Options) {
		a.SMTPURL, a.MailFrom = post.URL(), "Example IT <mdm@example.com>"
		a.SMTPRoots = roots
		os.WriteFile(a.SMTPRoots, post.RootsPEM(), 0o600)
	}
	return o
}

// openConsole makes somebody who can sign in, and says how. A database that was
// used before has its administrators already.
func (d *demo) openConsole(ctx context.Context, a *app.App) error {
	fmt.Fprintf(d.out, "  console:     %s/console/ (the browser asks about its certificate, which this server made itself)\n", a.URL())
	if a.SetUpCode() == "" {
		return nil
	}
	const email = "demo@example.com"
	password := strings.ToLower(rand.Text()[:16])
	if _, err := a.Administrators().SetUp(ctx, a.SetUpCode(), "Dana Demo", email, password, admin.Browser{Address: "127.0.0.1"}); err != nil {
		return fmt.Errorf("make an administrator for the console: %w", err)
	}
	fmt.Fprintf(d.out, "  sign in:     %s, password %s\n", email, password)
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "- "+format+"\n", args...) }
