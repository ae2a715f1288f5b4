package stage

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// childVariable makes this test binary a server instead: its value is the
// configuration. The server is a process of its own, so that it can be killed.
const childVariable = "ROLLCALL_STAGE_CHILD"

// childOptions are those of app.Options that have a form as text.
type childOptions struct {
	Listen, MetricsListen, Organization, DataDir, Database, TLS, LogLevel, APNSHost, APNSRoots string
	MaxConns                                                                                   int
	DeviceCAs                                                                                  []string
}

// announcement is the first line of a child's output.
type announcement struct {
	URL, Addr, Token string
	CA               []byte
}

func child() {
	var c childOptions
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c)
	if err == nil {
		err = serveChild(c)
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1)
}

func serveChild(c childOptions) error {
	a, err := app.New(context.Background(), app.Options{Listen: c.Listen, MetricsListen: c.MetricsListen, Organization: c.Organization, DataDir: c.DataDir,
		Database: c.Database, TLS: c.TLS, LogLevel: c.LogLevel, APNSHost: c.APNSHost, APNSRoots: c.APNSRoots, MaxConns: c.MaxConns, DeviceCAs: c.DeviceCAs})
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(2) // the test is gone
	}()
	line, err := json.Marshal(announcement{a.URL(), a.Addr().String(), a.FirstToken(), a.Authority().Certificate().Raw})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return a.Run(context.Background())
}

// mortal is a play whose server is a process that can be killed.
type mortal struct {
	*play
	process *exec.Cmd
	stdin   io.Closer
}

func startMortal(t *testing.T, dsn string) *mortal {
	t.Helper()
	m := &mortal{}
	m.play = start(t, dsn, func(o *Options) { o.Elsewhere = m.spawn })
	return m
}

// spawn starts the server; what it logs goes where its options say.
func (m *mortal) spawn(ctx context.Context, o app.Options) (Server, error) {
	config, err := json.Marshal(childOptions{o.Listen, o.MetricsListen, o.Organization, o.DataDir, o.Database, o.TLS, o.LogLevel, o.APNSHost, o.APNSRoots, o.MaxConns, o.DeviceCAs})
	if err != nil {
		return Server{}, err
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(config))
	cmd.Stderr = o.LogOutput
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Server{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Server{}, err
	}
	if err := cmd.Start(); err != nil {
		return Server{}, err
	}
	m.process, m.stdin = cmd, stdin
	var a announcement
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		m.kill()
		return Server{}, fmt.Errorf("the server did not start: %w", err)
	}
	cert, err := x509.ParseCertificate(a.CA)
	return Server{URL: a.URL, Addr: a.Addr, Token: a.Token, CA: cert, Stop: m.kill}, err
}

// kill ends the server as kill -9 does.
func (m *mortal) kill() {
	if m.process != nil {
		m.process.Process.Kill()
		m.process.Wait()
		m.stdin.Close()
		m.process = nil
	}
}

// resurrect starts the server again.
func (m *mortal) resurrect() {
	m.t.Helper()
	m.must(m.Restart(m.ctx))
}

// TestKilledDuringDelivery kills the server at every stage of an enrollment.
// Phone and server complete it by themselves.
func TestKilledDuringDelivery(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		m := startMortal(t, dsn)
		const serial = "KILLED000001"
		m.roll(serial)
		m.policy("Basics", wifi("a"), wifi("b"), wifi("c"), passcode(6))
		m.bind("Basics", object{"serial": serial})

		// Between Authenticate and TokenUpdate: the installation fails, and the
		// person tries again.
		var first atomic.Bool
		killed := make(chan string)
		ph := m.phone(serial, tamper("TokenUpdate", func(plist.Dict) {
			if first.CompareAndSwap(false, true) {
				m.kill()
			}
		}))
		if err := ph.OpenLink(m.ctx, m.url+"/enroll", iphone.Choice{}); err == nil || ph.Enrolled() {
			t.Fatalf("enrolled with a dead server: %v", err)
		}
		m.resurrect()
		m.check("half of an enrollment is not an enrollment", m.device(serial).State == "enrolling", m.device(serial))

		// With a command in hand, before its result is out.
		for _, point := range []struct {
			request string
			n       int
		}{{"DeviceInformation", 1}, {"InstallProfile", 1}, {"InstallProfile", 3}} {
			seen := 0
			ph.OnCommand(point.request, nil)
			react := func(n int) iphone.Reaction {
				if seen++; n == point.n {
					m.kill()
					killed <- point.request
				}
				return iphone.Execute
			}
			ph.OnCommand(point.request, react)
			if !ph.Enrolled() {
				go func() {
					if err := ph.OpenLink(m.ctx, m.url+"/enroll", iphone.Choice{}); err != nil {
						t.Error(err)
					}
				}()
			}
			select {
			case <-killed:
			case <-time.After(patience):
				t.Fatalf("%s did not come", point.request)
			}
			m.resurrect()
		}
		m.acknowledged(serial)
		m.check("the policy is there", hasAll("a", "b", "c", "passcode")(ph.Phone), ph.InstalledProfiles())
		m.check("every command was carried out once", len(ph.CommandsSeen()) == 6, ph.CommandsSeen())
		m.check("there is one enrollment", m.rows("enrollments", "ended_at = 0") == 1)
	})
}

// TestKilledDuringImport kills the server while it takes in a file, sooner and
// later. The roll has all of it or nothing.
func TestKilledDuringImport(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		const rows = 1000
		m := startMortal(t, dsn)
		file := func(prefix string) string {
			var b strings.Builder
			b.WriteString("name,email,mobile,ownership,devicename,SerialNumber,platform\n")
			for i := range rows {
				fmt.Fprintf(&b, "User %d,user%d@example.com,,corporate,,%s%06d,ios\n", i, i, prefix, i)
			}
			return b.String()
		}
		upload := func(body io.Reader) error {
			req, err := http.NewRequestWithContext(m.ctx, http.MethodPost, m.url+"/api/v1/imports?domain=local&apply=true", body)
			m.must(err)
			req.Header.Set("Content-Type", "text/csv")
			req.Header.Set("Authorization", "Bearer "+m.Token)
			res, err := m.client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusCreated {
				return fmt.Errorf("status %d", res.StatusCode)
			}
			return nil
		}
		onRoll := func(prefix string) int { return m.rows("devices", "serial LIKE $1", prefix+"%") }

		started := time.Now()
		m.must(upload(strings.NewReader(file("FIRST"))))
		took := time.Since(started)

		interrupted := 0
		for round := range 6 {
			prefix := fmt.Sprintf("ROUND%d", round)
			done := make(chan error, 1)
			sent := make(chan struct{})
			go func() { done <- upload(&announcedReader{Reader: strings.NewReader(file(prefix)), sent: sent}) }()
			<-sent
			// The moments are spread over what the server does then; there is
			// nothing to wait for that would tell them apart.
			timer := time.NewTimer(took * time.Duration(round) / 4)
			select {
			case <-timer.C:
			case err := <-done:
				done <- err
			}
			m.kill()
			if err := <-done; err != nil {
				interrupted++
			}
			m.resurrect()
			n := onRoll(prefix)
			m.check(prefix+" is on the roll whole or not at all", n == 0 || n == rows, n)
			var devices, applied int
			m.must(m.db.QueryRowContext(m.ctx, "SELECT (SELECT count(*) FROM devices), (SELECT count(*) FROM imports WHERE state = 'applied')").Scan(&devices, &applied))
			m.check("and applied in the list of imports likewise", devices == applied*rows, devices, applied)
		}
		m.check("some were interrupted", interrupted > 0)
		m.must(upload(strings.NewReader(file("LAST"))))
		m.check("and the server imports as before", onRoll("LAST") == rows, onRoll("LAST"))
	})
}

// announcedReader says when it has been read to its end.
type announcedReader struct {
	io.Reader
	once sync.Once
	sent chan struct{}
}

func (r *announcedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == io.EOF {
		r.once.Do(func() { close(r.sent) })
	}
	return n, err
}
