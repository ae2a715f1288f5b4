package bench

import (
	"context"
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// TestMain is also the server under measurement: bench runs its own executable
// again, which is this test.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "bench" || os.Args[2] != "server" {
		os.Exit(m.Run())
	}
	var c struct {
		Bench struct {
			Server Server `cmd:""`
		} `cmd:""`
	}
	k := kong.Parse(&c, kong.BindTo(context.Background(), (*context.Context)(nil)))
	k.FatalIfErrorf(k.Run())
}

// tiny is enough for every part to have something to do.
var tiny = scale{Runs: 1, Keys: 1, Phones: 2, Load: 60 * time.Millisecond, Warm: 10 * time.Millisecond, Past: 5, Commands: 3, Pushes: 10, Import: 20, File: 20 << 10, Roll: 100, Decisions: 20, Pages: 2, Visits: 2, Managed: 5, Listed: 30, Changed: 3, Waiting: 3}

// TestDocument measures a little of everything, on SQLite.
func TestDocument(t *testing.T) {
	m := &Measure{Engine: []string{sqlite}, scale: &tiny, progress: io.Discard}
	m.Write = t.TempDir() + "/benchmarks.md"
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(m.Write)
	if err != nil {
		t.Fatal(err)
	}
	document := string(b)
	for _, r := range rows {
		// | what | target | PostgreSQL | verdict | SQLite |
		want := "| " + r.text(tiny) + " | " + r.target() + " | not measured |  | "
		_, rest, ok := strings.Cut(document, want)
		if !ok {
			t.Errorf("the document has no row %q", want)
			continue
		}
		if cell, _, _ := strings.Cut(rest, "|"); strings.Contains(cell, "not measured") || strings.Contains(cell, "NaN") {
			t.Errorf("%s: SQLite was not measured: %s", r.figure, cell)
		}
	}
	for _, p := range partNames {
		if !strings.Contains(document, "| "+p.name+" | SQLite | ") {
			t.Errorf("the document does not say what %q costs", p.name)
		}
	}
}

func TestVerdicts(t *testing.T) {
	r := &report{Scale: tiny, Machine: machine{Cores: 2}, Results: []*result{{Engine: postgres,
		Figures: map[figure]series{idleRate: {4000, 6000, 4500}, idleP95: {9.9}, pushRate: {5000}, memoryRest: {60}},
		Costs: map[part]cost{partIdle: {Count: 1000, usage: usage{Wall: time.Second, All: 2 * time.Second, Server: 1200 * time.Millisecond, Postgres: 400 * time.Millisecond,
			Load: 400 * time.Millisecond}}},
		Profiles: map[part]string{partIdle: "flat cum"}, Peer: map[int]load{16: {Rate: 3850, P50: 3, P95: 11.8}}}}}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| at least 5,000/s | 4,500/s (4,000/s to 6,000/s) | **missed** | not measured |",
		"| under 10 ms | 9.9 ms | met | not measured |",
		"| at least 5,000/s | 5,000/s | met | not measured |",
		"| under 60 MiB | 60 MiB | **missed** | not measured |",
		"### Idle connect, nothing to do, 16 workers: 4,500/s\nWanted: at least 5,000/s.",
		"The cores were 100 % busy. One operation took 2 ms of CPU time: 1.2 ms in the server, 400 µs in PostgreSQL, 400 µs in the phones and the load generator. " +
			"The cores are what limits it: all 2 of them would do at most 1,000/s",
		"flat cum",
		"| 16 | 3,850/s | 3 ms | 11.8 ms | 350–420/s | 30 ms | 100–136 ms | 10.0 × | 0.10 × |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the document lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "### · p95") {
		t.Error("a target that was met has a reason for being missed")
	}
}

func TestSeries(t *testing.T) {
	for _, c := range []struct {
		values series
		want   string
	}{
		{nil, "not measured"},
		{series{12.34}, "12.3 ms"},
		{series{3, 1, 2}, "2 ms (1 ms to 3 ms)"},
		{series{4, 1, 2, 3}, "2.5 ms (1 ms to 4 ms)"},
	} {
		if got := c.values.format(milliseconds); got != c.want {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	ms := func(values ...int) (out []time.Duration) {
		for _, v := range values {
			out = append(out, time.Duration(v)*time.Millisecond)
		}
		return out
	}
	for _, c := range []struct {
		sorted []time.Duration
		q      float64
		want   float64
	}{
		{ms(5), 0.95, 5},
		{ms(1, 2, 3, 4), 0.5, 2},
		{ms(1, 2, 3, 4), 0.99, 4},
		{ms(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 0.9, 9},
	} {
		if got := quantile(c.sorted, c.q); got != c.want {
			t.Errorf("%v at %g: %g, want %g", c.sorted, c.q, got, c.want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a quantile")
	}
}

// TestLine sends two requests over one connection to net/http's server.
func TestLine(t *testing.T) {
	type seen struct{ Method, Path, Host, Signature, Body string }
	var got []seen
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, seen{r.Method, r.URL.Path, r.Host, r.Header.Get("Mdm-Signature"), string(body)})
		if len(got) == 1 {
			io.WriteString(w, "a command")
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = "example.com", []string{"http/1.1"}
	l, err := dial(t.Context(), server.Listener.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	w := newWire("mdm.example.com", "/mdm/connect", http.Header{"Mdm-Signature": {"c2ln"}}, []byte("idle"))
	for i, want := range []struct {
		status int
		body   string
	}{{200, "a command"}, {400, ""}} {
		status, body, err := l.do(w)
		if err != nil {
			t.Fatal(err)
		}
		if status != want.status || string(body) != want.body {
			t.Errorf("request %d: %d %q, want %d %q", i, status, body, want.status, want.body)
		}
	}
	request := seen{"PUT", "/mdm/connect", "mdm.example.com", "c2ln", "idle"}
	if diff := cmp.Diff([]seen{request, request}, got); diff != "" {
		t.Errorf("the server saw (-want +got):\n%s", diff)
	}
}

// TestLineRefuses gives a line what is no answer it understands.
func TestLineRefuses(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	t.Cleanup(pair.Close)
	for name, text := range map[string]string{
		"not HTTP":       "SSH-2.0-OpenSSH\r\n\r\n",
		"no length":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"length":         "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
		"breaks off":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"nothing at all": "",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := tls.Listen("tcp", "127.0.0.1:0", pair.TLS)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			go func() {
				var conn net.Conn
				if conn, err = listener.Accept(); err == nil {
					conn.Read(make([]byte, 1024))
					io.WriteString(conn, text)
					conn.Close()
				}
			}()
			config := pair.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			config.ServerName = "example.com"
			l, err := dial(t.Context(), listener.Addr().String(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.close)
			if status, body, err := l.do(newWire("h", "/", nil, nil)); err == nil {
				t.Errorf("%d %q was taken for an answer", status, body)
			}
		})
	}
}

// TestBudget holds the targets against the performance budget, so that none is
// lowered or lost in passing.
func TestBudget(t *testing.T) {
	want := map[figure]string{
		idleRate: "at least 5,000/s", idleP95: "under 10 ms", idlePastP95: "under 10 ms", idleFlat: "at least 0.90", ackRate: "at least 2,000/s",
		enrollRate: "at least 60/s", gateP99: "under 5 ms", importPlan: "under 10 s", importApply: "under 20 s", memoryImport: "under 300 MiB", listSlowest: "under 20 ms", consoleSlowest: "under 100 ms", consoleHeaviest: "under 200 KiB", firstCheckIn: "under 1 s", policyCompile: "under 1 ms", policyChange: "under 5 s", amapiNotifications: "under 30 s", amapiCalls: "under 10 calls", pushRate: "at least 5,000/s",
		memoryRest: "under 60 MiB", memoryLoad: "under 200 MiB",
		"ade.beside": "at least 1.00", "ade.rate": "at least 60/s", "agent.enroll.rate": "at least 150/s", "agent.rate": "at least 3,000/s", "memory.waiting": "under 300 MiB",
		"dep.first": "under 120 s", "dep.delta": "under 3 s", "memory.dep": "under 200 MiB", "memory.dep.flat": "under 1.50",
	}
	got := map[figure]string{}
	for _, r := range rows {
		if r.target() != "" {
			got[r.figure] = r.target()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}
