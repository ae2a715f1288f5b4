package main

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/client"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/amapi"
	"rollcall/sim/applepki"
	"rollcall/sim/fleet"
	"rollcall/sim/iphone"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rollcall": main})
}

// simulated is what all servers of the scripts share: keys take long to make.
var simulated = sync.OnceValues(func() (s struct {
	apple *applepki.PKI
	keys  *fleet.KeyPool
}, err error) {
	if s.apple, err = applepki.New(); err == nil {
		s.keys, err = fleet.NewKeyPool(4, 2048)
	}
	return s, err
})

type stageKey struct{}

// TestScripts drives the program as people do, each script against a server of
// its own on SQLite. Beside testscript's own commands there are:
//
//	phone SERIAL LINK       a simulated phone opens an enrollment link; ! where it is to be refused
//	droid SERIAL ENTRY      a simulated Android device is set up with Google; ! where it is to be refused
//	browse URL              a person opens a page, and is sent on
//	capture NAME PATTERN    an environment variable from what the last command wrote
//	until PATTERN COMMAND   runs it until its output matches
//	scrub FILE [stderr]     what the last command wrote, without times and IDs
//
// The servers of the scripts google and zero_touch have a simulated Google, whose
// key is in key.json.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("ROLLCALL_UPDATE_SCRIPTS") != "",
		Setup:               startServer,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"phone": phone, "droid": droid, "browse": browse, "capture": capture, "until": until, "scrub": scrub},
	})
}

func startServer(env *testscript.Env) error {
	sim, err := simulated()
	if err != nil {
		return err
	}
	google, err := googleOf(env)
	if err != nil {
		return err
	}
	s, err := stage.Start(context.Background(), stage.Options{Apple: sim.apple, Keys: sim.keys.Next, Change: func(o *app.Options) {
		o.AllowPrivateWebhooks = true
		if google != nil {
			google.options(o)
		}
	}})
	if err != nil {
		return err
	}
	env.Defer(s.Stop)
	if google != nil {
		google.roots.AddCert(s.App.Authority().Certificate())
	}
	env.Values[stageKey{}] = s
	ca := filepath.Join(env.WorkDir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.App.Authority().Certificate().Raw}), 0o600); err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	env.Setenv("ROLLCALL_SERVER", s.URL())
	env.Setenv("ROLLCALL_TOKEN", s.Token)
	env.Setenv("ROLLCALL_CA_FILE", ca)
	env.Setenv("TZ", "UTC")
	return os.Mkdir(home, 0o700)
}

type googleKey struct{}

// googleOf is the Google of the scripts google and zero_touch, at which a reseller
// has registered BOUGHT000001; the servers of others have none.
func googleOf(env *testscript.Env) (*google, error) {
	if !slices.Contains([]string{"script-google", "script-zero_touch"}, filepath.Base(env.WorkDir)) {
		return nil, nil
	}
	g, err := startGoogle()
	if err != nil {
		return nil, err
	}
	env.Defer(g.close)
	env.Values[googleKey{}] = g
	bought, err := g.cloud.AddDevice(amapi.Hardware{Serial: "BOUGHT000001"})
	if err != nil {
		return nil, err
	}
	if err := g.cloud.Claim(g.cloud.AddCustomer("Example at Google"), bought); err != nil {
		return nil, err
	}
	key, err := g.cloud.ServiceAccountKey()
	if err != nil {
		return nil, err
	}
	return g, os.WriteFile(filepath.Join(env.WorkDir, "key.json"), key, 0o600)
}

func droid(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: droid SERIAL ENTRY")
	}
	d, err := ts.Value(googleKey{}).(*google).cloud.AddDevice(amapi.Hardware{Serial: args[0]})
	ts.Check(err)
	err = d.Setup(context.Background(), args[1])
	switch {
	case neg && errors.Is(err, amapi.ErrRefused):
	case neg:
		ts.Fatalf("%s was not refused: %v", args[0], err)
	default:
		ts.Check(err)
	}
}

func browse(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: browse URL")
	}
	browser := http.Client{Transport: ts.Value(googleKey{}).(*google).phones, Timeout: time.Minute}
	res, err := browser.Get(args[0])
	ts.Check(err)
	res.Body.Close()
	if neg != (res.StatusCode != http.StatusOK) {
		ts.Fatalf("%s: %s", args[0], res.Status)
	}
}

func phone(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: phone SERIAL LINK")
	}
	s := ts.Value(stageKey{}).(*stage.Stage)
	p, err := s.Phone(args[0])
	ts.Check(err)
	err = p.OpenLink(context.Background(), args[1], iphone.Choice{})
	var refused *iphone.RefusedError
	switch {
	case neg && errors.As(err, &refused):
	case neg:
		ts.Fatalf("%s was not refused: %v", args[0], err)
	default:
		ts.Check(err)
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	m := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("nothing matches %s", args[1])
	}
	ts.Setenv(args[0], m[len(m)-1])
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: until PATTERN COMMAND")
	}
	pattern := regexp.MustCompile(`(?m)` + args[0])
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing came to match %s", args[0])
		}
	}
}

var scrubbed = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2006-01-02 15:04:05"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2006-01-02T15:04:05Z"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "00000000-0000-7000-0000-000000000000"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:00000"},
	{regexp.MustCompile(`/enroll/r/[A-Za-z0-9_-]+`), "/enroll/r/SECRET"},
	{regexp.MustCompile(`localhost:\d+`), "localhost:8443"},
}

func scrub(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 || neg {
		ts.Fatalf("usage: scrub FILE [stderr]")
	}
	text := ts.ReadFile(append(args, "stdout")[1])
	for _, s := range scrubbed {
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// TestCommandsDocumented wants every command that speaks to a server in
// docs/cli.md.
func TestCommandsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&client.Commands{})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parser.Model.Children {
		for _, command := range group.Children {
			line := regexp.MustCompile("(?m)^\\| `" + group.Name + " (.*`)?" + command.Name + "[ `]")
			if !line.Match(page) {
				t.Errorf("docs/cli.md does not have rollcall %s %s", group.Name, command.Name)
			}
		}
	}
}
