package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/fleet"
	"rollcall/sim/iphone"
	"rollcall/storage"
)

// site is a server with its database and its phones.
type site struct {
	*bench
	*stage.Stage
	server *process
	db     *database
	keys   *fleet.KeyPool
	phones []*iphone.Phone // enrolled, and not woken by pushes
	fleets int             // made so far
	name   string          // of the database
	log    string          // path of the server's log
}

// open starts a server on an empty database of its own, with the restriction
// on.
func (b *bench) open(ctx context.Context, name string, change ...func(*stage.Options)) (*site, error) {
	s := &site{bench: b, name: name, server: &process{}, log: filepath.Join(b.dir, name+".log")}
	var err error
	if s.db, err = b.engine.create(s.name); err != nil {
		return nil, err
	}
	if s.keys, err = fleet.NewKeyPool(b.scale.Keys, 2048); err != nil {
		return nil, err
	}
	o := stage.Options{Database: s.db.dsn, LogLevel: "warn", Log: io.Discard, Elsewhere: s.server.elsewhere(s.log)}
	for _, f := range change {
		f(&o)
	}
	if s.Stage, err = stage.Start(ctx, o); err != nil {
		s.db.drop(b.engine, s.name)
		return nil, err
	}
	if err := s.API(ctx, http.MethodPut, "/settings/enrollment-restrictions", map[string]string{"pre_enrolled_devices_only": "enforce"}, nil); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *site) close() {
	for _, p := range s.phones {
		p.Close()
	}
	s.Stop()
	s.db.drop(s.engine, s.name)
	if s.Keep != "" {
		if b, err := os.ReadFile(s.log); err == nil {
			os.WriteFile(filepath.Join(s.Keep, s.engine.name+"-"+s.name+".log"), b, 0o600)
		}
	}
}

// store opens the server's database as the server does, to queue commands.
func (s *site) store(ctx context.Context) (*storage.Store, error) {
	o := s.Options()
	if err := o.Check(); err != nil {
		return nil, err
	}
	return app.OpenStore(ctx, o)
}

// onRoll puts serials on the roll by a CSV file.
func (s *site) onRoll(ctx context.Context, serials []string) error {
	return s.API(ctx, http.MethodPost, "/imports?domain=local&apply=true&file_name=bench.csv", stage.Raw{ContentType: "text/csv", Data: rollFile(serials)}, nil)
}

// rollFile is a CSV file with a user for every ten devices.
func rollFile(serials []string) []byte {
	var b strings.Builder
	b.WriteString("name,email,mobile,ownership,devicename,SerialNumber,platform\n")
	for i, serial := range serials {
		fmt.Fprintf(&b, "User %d,user%d@example.com,,corporate,,%s,ios\n", i/10, i/10, serial)
	}
	return []byte(b.String())
}

// newFleet makes phones that are on the roll and do not answer pushes.
func (s *site) newFleet(ctx context.Context, n int, change func(*iphone.Config)) (*fleet.Fleet, error) {
	s.fleets++
	var failed error
	f, err := fleet.New(fleet.Config{N: n, PKI: s.Apple, Keys: s.keys, SerialPrefix: fmt.Sprintf("B%02d", s.fleets),
		Base: iphone.Config{Roots: s.Roots, Push: s.Push, RetryDelay: 50 * time.Millisecond},
		Customize: func(i int, c *iphone.Config) {
			// Phones of different fleets are different devices.
			c.UDID = udidPrefix(s.fleets) + fmt.Sprintf("%016X", i)
			var err error
			c.Identity, err = s.Apple.IssueDeviceKey(c.UDID, c.Serial, c.Identity.Key)
			failed = errors.Join(failed, err)
			if change != nil {
				change(c)
			}
		}})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	return f, s.onRoll(ctx, f.Serials())
}

// udidPrefix is how the UDIDs of a fleet's phones begin, as those of real ones
// begin with the model.
func udidPrefix(fleet int) string { return fmt.Sprintf("%08X-", fleet) }

// until waits for a condition that the database shows.
func (s *site) until(ctx context.Context, what string, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bench: waited in vain for %s%s", what, tail(s.log))
		case <-tick.C:
		}
	}
}

// quiet waits until the server has planned everything, lets the phones do what
// was planned, and waits until no push is due.
func (s *site) quiet(ctx context.Context, f *fleet.Fleet) error {
	none := func(query string) func() (bool, error) {
		return func() (bool, error) {
			n, err := s.db.count(ctx, query)
			return n == 0, err
		}
	}
	if err := s.until(ctx, "deliveries to be planned", none(`SELECT count(*) FROM deliveries WHERE due_at > 0`)); err != nil {
		return err
	}
	if f != nil {
		if err := f.Each(ctx, 8, func(ctx context.Context, _ int, p *iphone.Phone) error { return p.Connect(ctx) }); err != nil {
			return err
		}
	}
	if err := s.until(ctx, "commands to be answered", none(`SELECT count(*) FROM commands WHERE finished_at = 0`)); err != nil {
		return err
	}
	return s.until(ctx, "pushes to be sent", none(`SELECT count(*) FROM pushes WHERE due_at > 0`))
}

// timed runs what is measured between two looks at the CPU clocks, and under
// the server's profiler when one is wanted.
func (s *site) timed(work func() (int, error)) (cost, error) {
	if s.profiling != "" {
		if err := s.server.tell("profile " + s.profiling); err != nil {
			return cost{}, err
		}
	}
	before := cpuOf(s.server.pid(), s.db.postmaster)
	n, err := work()
	c := cost{usage: cpuOf(s.server.pid(), s.db.postmaster).minus(before), Count: n}
	if err != nil {
		return c, fmt.Errorf("%w%s", err, tail(s.log))
	}
	if s.profiling != "" {
		return c, s.server.tell("end")
	}
	return c, nil
}

// lines opens connections as an MDM client of HTTP/1.1 does.
func (s *site) lines(ctx context.Context, n int) (out []*line, err error) {
	u, err := url.Parse(s.URL())
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: s.Roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	for range n {
		l, err := dial(ctx, s.Options().Listen, config)
		if err != nil {
			hangUp(out)
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func hangUp(lines []*line) {
	for _, l := range lines {
		l.close()
	}
}

// path of the connect endpoint and the host that requests name.
func (s *site) target(p *iphone.Phone) (host, path string, err error) {
	u, err := url.Parse(p.ServerURL())
	if err != nil {
		return "", "", err
	}
	return u.Host, u.Path, nil
}
