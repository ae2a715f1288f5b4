package stage

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
	simdep "rollcall/sim/dep"
	"rollcall/storage"
	"rollcall/storage/storagetest"
)

// program is Apple's service and what keeps an account of it up to date, run
// by hand and on a clock that can be moved.
type program struct {
	*testing.T
	ctx      context.Context
	store    *storage.Store
	apple    *simdep.Cloud
	server   *simdep.Account // what the account Berlin is at Apple
	clouds   *dep.Clouds
	accounts *dep.Accounts
	syncer   *dep.Syncer
	offset   atomic.Int64
}

const berlin = "Berlin"

func newProgram(t *testing.T, dsn string, o simdep.Options) *program {
	t.Helper()
	p := &program{T: t, ctx: t.Context(), store: storagetest.Open(t, dsn), apple: simdep.New(o)}
	p.must(p.apple.Start("127.0.0.1:0", apple))
	t.Cleanup(func() { p.apple.Close() })
	p.server = p.at(berlin)
	var err error
	p.clouds, err = dep.NewClouds(p.apple.URL(), p.apple.RootCAs(), p.store, p.now)
	p.must(err)
	t.Cleanup(p.clouds.Close)
	p.syncer = p.newSyncer()
	p.accounts = dep.NewAccounts(p.store, p.clouds, p.syncer.Kick, p.now)
	p.account(berlin, p.server)
	return p
}

// onPrograms runs a test on both databases.
func onPrograms(t *testing.T, o simdep.Options, run func(p *program)) {
	t.Helper()
	onEngines(t, func(t *testing.T, dsn string) { run(newProgram(t, dsn, o)) })
}

func (p *program) newSyncer() *dep.Syncer {
	return &dep.Syncer{Store: p.store, Clouds: p.clouds, Public: "https://mdm.example.com", Now: p.now, Log: slog.New(slog.DiscardHandler)}
}

func (p *program) now() time.Time { return time.Now().Add(time.Duration(p.offset.Load())) }

func (p *program) later(d time.Duration) { p.offset.Add(int64(d)) }

func (p *program) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// at makes an account in Apple's portal.
func (p *program) at(name string) *simdep.Account {
	p.Helper()
	a, err := p.apple.AddAccount(name)
	p.must(err)
	return a
}

// account makes an account here with a token of one there, and a profile that
// is its default.
func (p *program) account(name string, at *simdep.Account) {
	p.Helper()
	on := true
	a, err := p.accounts.Create(p.ctx, name, dep.Input{AddAsPreEnrolled: &on})
	p.must(err)
	p.must(p.token(name, at, a, false))
	removable, supervised := false, true
	_, _, _, err = p.accounts.PutProfile(p.ctx, name, "Standard", dep.ProfileInput{Settings: &dep.ProfileSettings{AwaitConfigured: true, MDMRemovable: &removable, Supervised: &supervised}})
	p.must(err)
	p.change(name, dep.Input{Default: &dep.NamedDefault{Profile: "Standard"}})
}

func (p *program) token(name string, at *simdep.Account, a dep.Account, force bool) error {
	p.Helper()
	file, err := at.TokenFile(a.CertificatePEM)
	p.must(err)
	_, err = p.accounts.InstallToken(p.ctx, name, file, force)
	return err
}

func (p *program) change(name string, in dep.Input) {
	p.Helper()
	_, err := p.accounts.Change(p.ctx, name, in)
	p.must(err)
}

// code wants an error of a kind, with a code and words for an admin.
func (p *program) code(err error, kind enroll.Kind, code string) {
	p.Helper()
	var e *enroll.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code || e.Text == "" {
		p.Fatalf("the error is %v, want %s %s", err, kind, code)
	}
}

// sync brings an account up to date and gives it as it is then.
func (p *program) sync(name string) dep.Account {
	p.Helper()
	_, err := p.accounts.Sync(p.ctx, name, false)
	p.must(err)
	for p.syncer.Step(p.ctx, "worker") {
	}
	a, err := p.store.Account(p.ctx, name)
	p.must(err)
	return a
}

// synced is sync where nothing may go wrong.
func (p *program) synced(name string) dep.Account {
	p.Helper()
	a := p.sync(name)
	if a.Sync.Problem != nil || a.Sync.DoneAt.IsZero() {
		p.Fatalf("account %s is not up to date: %+v", name, a.Sync.Problem)
	}
	return a
}

// failed is sync where something has to.
func (p *program) failed(name, code string) dep.Account {
	p.Helper()
	a := p.sync(name)
	if a.Sync.Problem == nil || a.Sync.Problem.Code != code {
		p.Fatalf("account %s: the problem is %+v, want %s", name, a.Sync.Problem, code)
	}
	return a
}

func (p *program) add(at *simdep.Account, devices ...simdep.Device) {
	p.Helper()
	p.must(at.AddDevices(devices...))
}

// known are the devices of an account by serial.
func (p *program) known(name string) map[string]dep.Known {
	p.Helper()
	out := map[string]dep.Known{}
	for after := ""; ; {
		list, err := p.store.KnownDevices(p.ctx, name, after, 1000)
		p.must(err)
		for _, d := range list {
			out[d.Serial] = d
			after = d.Serial
		}
		if len(list) < 1000 {
			return out
		}
	}
}

// status is what Apple says of a device's profile.
func (p *program) status(serial string) simdep.ProfileStatus {
	p.Helper()
	s, ok := p.apple.Device(serial)
	if !ok {
		p.Fatalf("Apple has no device %s", serial)
	}
	return s.ProfileStatus
}

// allAssigned checks Apple's side of every device of an account.
func (p *program) allAssigned(at *simdep.Account, number int) {
	p.Helper()
	serials := at.Serials()
	if len(serials) != number {
		p.Fatalf("Apple lists %d devices, want %d", len(serials), number)
	}
	for _, s := range serials {
		if st := p.status(s); st != simdep.ProfileAssigned {
			p.Fatalf("the profile of %s is %s at Apple, want assigned", s, st)
		}
	}
}

// row is a row of the roll; nil: there is none.
func (p *program) row(serial string) *enroll.Device {
	p.Helper()
	d, err := p.store.Device(p.ctx, serial)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil
	}
	p.must(err)
	return &d
}

func (p *program) onRoll(serial string, want bool) {
	p.Helper()
	if got := p.row(serial) != nil; got != want {
		p.Fatalf("%s on the roll: %v, want %v", serial, got, want)
	}
}

// calls counts calls that Apple has got so far.
func (p *program) calls(names ...string) int {
	n := 0
	for name, times := range p.apple.Calls() {
		if slices.Contains(names, name) {
			n += times
		}
	}
	return n
}

func (p *program) spoil(f ...simdep.Fault) {
	p.Helper()
	p.must(p.apple.Spoil(f...))
}
