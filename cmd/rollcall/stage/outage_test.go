package stage

import (
	"bytes"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/lib/pq"

	"rollcall/sim/iphone"
	"rollcall/sim/plist"
	"rollcall/storage/pgtest"
)

// outage gives a database, and two functions that take it away and bring it
// back: the whole server where it is ours, as a machine that fails does; else
// the one database.
func outage(t *testing.T) (dsn string, lose, restore func()) {
	t.Helper()
	cluster, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	name := pgtest.Name()
	if dsn, err = cluster.NewDatabase(name); err != nil {
		t.Fatal(err)
	}
	if cluster.Pausable() {
		return dsn, cluster.Pause, func() {
			if err := cluster.Resume(); err != nil {
				t.Error(err)
			}
		}
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	run := func(query string, args ...any) {
		if _, err := db.Exec(query, args...); err != nil {
			t.Error(err)
		}
	}
	return dsn, func() {
			run("ALTER DATABASE " + pq.QuoteIdentifier(name) + " ALLOW_CONNECTIONS false")
			run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
		}, func() {
			run("ALTER DATABASE " + pq.QuoteIdentifier(name) + " ALLOW_CONNECTIONS true")
		}
}

// TestDatabaseOutage: the database goes away while a device is in the middle of
// its policy, and comes back.
func TestDatabaseOutage(t *testing.T) {
	if pgtest.Skipped() {
		return // TestMain says so
	}
	t.Parallel()
	dsn, lose, restore := outage(t)
	p := start(t, dsn)
	const serial = "OUTAGE000001"
	p.roll(serial)
	p.roll("OUTAGE000002")
	p.policy("Basics", passcode(6), wifi("office"))
	p.bind("Basics", object{"serial": serial})
	r := p.accepted("OUTAGE000002")
	device, chain, attributes := p.deviceIdentity("OUTAGE000002")
	status, otaProfile := p.phase(attributes, device, chain...)
	p.check("phase 2", status == http.StatusOK, status)
	ready := func() int {
		res, body := p.send(http.MethodGet, p.App.OpsURL()+"/readyz", "", nil)
		p.noInternals(string(body))
		return res.StatusCode
	}
	p.check("ready", ready() == http.StatusOK)

	ph := p.phone(serial)
	lost := make(chan struct{})
	ph.OnCommand("SecurityInfo", func(n int) iphone.Reaction {
		if n == 1 {
			lose()
			close(lost)
		}
		return iphone.Execute
	})
	if err := ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}); err != nil {
		t.Fatal(err)
	}
	<-lost

	unavailable := func(what string, status int, body []byte) {
		t.Helper()
		p.check(what+" is answered 503", status == http.StatusServiceUnavailable, status, string(body))
		p.noInternals(string(body))
	}
	p.until("not ready", func() bool { return ready() == http.StatusServiceUnavailable })
	res, _ := p.send(http.MethodGet, p.App.OpsURL()+"/healthz", "", nil)
	p.check("but alive", res.StatusCode == http.StatusOK, res.StatusCode)
	idle := ph.Idle()
	status, body := p.put(connectPath, connectType, idle, ph.identity())
	unavailable("connect", status, body)
	for _, m := range []string{"TokenUpdate", "CheckOut", "GetBootstrapToken", "Authenticate"} {
		status, body := p.put(checkInPath, checkInType, plist.Dict{"MessageType": m, "UDID": ph.UDID(), "Topic": "t", "Token": []byte{1}, "PushMagic": "m"}, ph.identity())
		unavailable(m, status, body)
	}
	status, body = p.phase(attributes, device, chain...)
	unavailable("the gate fails closed: phase 2", status, body)
	_, err := p.scep(otaProfile)
	p.check("SCEP issues nothing", err != nil)
	for _, path := range []string{"/enroll/ota?request=" + r.secret(), "/enroll/profile", "/enroll/r/" + r.secret(), "/enroll/r/" + r.secret() + "/next"} {
		res, body := p.send(http.MethodGet, path, "", nil)
		unavailable(path, res.StatusCode, body)
	}
	res, body = p.send(http.MethodPost, r.Link, "application/x-www-form-urlencoded", nil)
	unavailable("acceptance", res.StatusCode, body)
	var problem *Problem
	err = p.API(p.ctx, http.MethodGet, "/devices", nil, nil)
	p.check("the API is answered 503", errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable, err)
	p.noInternals(problem.Body)
	p.check("the phone is still enrolled", ph.Enrolled())

	restore()
	p.until("ready again", func() bool { return ready() == http.StatusOK })
	p.acknowledged(serial)
	p.check("the phone completed its policy by itself", hasAll("passcode", "office")(ph.Phone), ph.InstalledProfiles())
	p.check("no command was carried out twice", len(ph.CommandsSeen()) == 4, ph.CommandsSeen())
	p.mustSCEP(otaProfile)
	p.check("what was begun goes on", bytes.Contains(p.otaProfile(r.secret()), []byte("Profile Service")))
	p.check("nothing panicked", !strings.Contains(p.log.String(), "panic"))
}
