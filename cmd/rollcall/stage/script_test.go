package stage

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// patience is how long a condition may take to come true before a test fails.
const patience = 90 * time.Second

// play is a test that reads like a script: every line either works or ends it.
type play struct {
	*Stage
	t     *testing.T
	ctx   context.Context
	dsn   string
	db    *sql.DB
	clock *clock
	log   *journal
}

// start sets the stage with an empty roll.
func start(t *testing.T, dsn string, change ...func(*Options)) *play {
	t.Helper()
	p := newPlay(t, dsn)
	o := p.options(change...)
	s, err := Start(p.ctx, o)
	t.Cleanup(s.Stop)
	p.must(err)
	p.Stage = s
	return p
}

func newPlay(t *testing.T, dsn string) *play {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	p := &play{t: t, ctx: ctx, dsn: dsn, clock: &clock{}, log: &journal{}}
	p.db = openDatabase(t, dsn)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log.tail(12_000))
		}
	})
	return p
}

func (p *play) options(change ...func(*Options)) Options {
	o := Options{Database: p.dsn, Log: p.log, LogLevel: "debug", Now: p.clock.Now, Apple: apple, Keys: keys.Next}
	for _, f := range change {
		f(&o)
	}
	return o
}

func (p *play) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *play) check(what string, ok bool, got ...any) {
	p.t.Helper()
	if !ok {
		p.t.Errorf("%s; got %v", what, fmt.Sprint(got...))
	}
}

// until waits for something that only asking again can tell.
func (p *play) until(what string, holds func() bool) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			p.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// clock is the server's: the real one, moved forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// journal keeps the server's log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) tail(n int) string {
	s := j.String()
	return s[max(0, len(s)-n):]
}

// ---- the admin

// admin calls the API and wants a success.
func (p *play) admin(method, path string, body, out any) {
	p.t.Helper()
	if err := p.API(p.ctx, method, path, body, out); err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
}

type object = map[string]any

// roll puts a device on the roll, as an iPhone of the company unless said
// otherwise.
func (p *play) roll(serial string, fields ...object) {
	p.t.Helper()
	body := object{"platform": "ios", "ownership": "corporate"}
	for _, f := range fields {
		for k, v := range f {
			body[k] = v
		}
	}
	p.admin(http.MethodPut, "/devices/"+serial, body, nil)
}

func (p *play) restrict(mode enroll.Mode) {
	p.t.Helper()
	p.admin(http.MethodPut, "/settings/enrollment-restrictions", object{"pre_enrolled_devices_only": mode}, nil)
}

type request struct {
	ID, Serial, State, Link string
}

// secret is the last part of a link.
func (r request) secret() string { return r.Link[strings.LastIndex(r.Link, "/")+1:] }

// invite makes an enrollment request.
func (p *play) invite(serial string) request {
	p.t.Helper()
	var out struct{ Items []request }
	p.admin(http.MethodPost, "/requests", object{"serials": []string{serial}}, &out)
	if len(out.Items) != 1 || out.Items[0].Link == "" {
		p.t.Fatalf("invitation of %s: %+v", serial, out)
	}
	return out.Items[0]
}

// accepted makes a request and has its user accept it.
func (p *play) accepted(serial string) request {
	p.t.Helper()
	r := p.invite(serial)
	res, body := p.send(http.MethodPost, r.Link, "application/x-www-form-urlencoded", nil)
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("acceptance: %d %s", res.StatusCode, body)
	}
	return r
}

func (p *play) request(id string) (r request) {
	p.t.Helper()
	p.admin(http.MethodGet, "/requests/"+id, nil, &r)
	return r
}

// profile is one of a policy with one payload.
func profile(id, payloadType string, content object) object {
	return object{"id": id, "display_name": "Profile " + id, "payloads": []any{object{"type": payloadType, "content": content}}}
}

const wifiPassword = "hunter2-hunter2-hunter2"

func wifi(id string) object {
	return profile(id, "com.apple.wifi.managed", object{"SSID_STR": "Net " + id, "EncryptionType": "WPA2", "Password": wifiPassword})
}

func passcode(minLength int) object {
	return profile("passcode", "com.apple.mobiledevice.passwordpolicy", object{"forcePIN": true, "minLength": minLength})
}

func restrictions(id string) object {
	return profile(id, "com.apple.applicationaccess", object{"allowCloudBackup": false, "forceEncryptedBackup": true})
}

// policy makes or changes a policy.
func (p *play) policy(name string, profiles ...object) {
	p.t.Helper()
	p.admin(http.MethodPut, "/policies/"+url.PathEscape(name), object{"document": object{"apple": object{"profiles": profiles}}}, nil)
}

func (p *play) bind(policy string, to object) {
	p.t.Helper()
	p.admin(http.MethodPost, "/policies/"+url.PathEscape(policy)+"/bindings", to, nil)
}

func (p *play) group(name string, serials ...string) {
	p.t.Helper()
	p.admin(http.MethodPost, "/groups", object{"name": name}, nil)
	p.members(name, object{"add": serials})
}

func (p *play) members(name string, change object) {
	p.t.Helper()
	p.admin(http.MethodPost, "/groups/"+url.PathEscape(name)+"/members", change, nil)
}

// command queues a command and returns its CommandUUID.
func (p *play) command(serial, requestType string, args object) string {
	p.t.Helper()
	var out struct {
		CommandID string `json:"command_id"`
	}
	p.admin(http.MethodPost, "/devices/"+serial+"/commands", object{"request_type": requestType, "args": args}, &out)
	return out.CommandID
}

type command struct {
	ID, State, Error, Result string
	RequestType              string `json:"request_type"`
	NotNow                   bool   `json:"not_now"`
	Attempts                 int
	FinishedAt               time.Time `json:"finished_at"`
}

func (p *play) commandOf(serial, id string) (c command) {
	p.t.Helper()
	p.admin(http.MethodGet, "/devices/"+serial+"/commands/"+id, nil, &c)
	return c
}

// done waits for the final answer to a command.
func (p *play) done(serial, id string) (c command) {
	p.t.Helper()
	p.until("an answer to the command", func() bool {
		c = p.commandOf(serial, id)
		return !c.FinishedAt.IsZero()
	})
	return c
}

type device struct {
	Serial, State, Banner, Ownership string
	Facts                            *enroll.Facts
	Sources                          map[string]string
}

func (p *play) device(serial string) (d device) {
	p.t.Helper()
	p.admin(http.MethodGet, "/devices/"+serial, nil, &d)
	return d
}

// unknown says whether there is no row with this serial.
func (p *play) unknown(serial string) bool {
	var problem *Problem
	err := p.API(p.ctx, http.MethodGet, "/devices/"+serial, nil, nil)
	return errors.As(err, &problem) && problem.Status == http.StatusNotFound
}

type decision struct {
	ID, Channel, Serial, Evidence, Outcome, Code, Enforced string
	RequestID                                              string `json:"request_id"`
}

// decisions about a serial, newest first.
func (p *play) decisions(serial string) []decision {
	p.t.Helper()
	var out struct{ Items []decision }
	p.admin(http.MethodGet, "/decisions?serial="+url.QueryEscape(serial), nil, &out)
	return out.Items
}

// decided wants the newest decision about a serial.
func (p *play) decided(serial string, code enroll.Code) decision {
	p.t.Helper()
	all := p.decisions(serial)
	if len(all) == 0 {
		p.t.Fatalf("no decision about %q; want %s", serial, code)
	}
	if all[0].Code != string(code) {
		p.t.Errorf("%q was decided %s; want %s", serial, all[0].Code, code)
	}
	return all[0]
}

type receipt struct {
	EnrolledAt   time.Time `json:"enrolled_at"`
	CompletedAt  time.Time `json:"completed_at"`
	TimeToPolicy float64   `json:"time_to_policy_seconds"`
	Items        []item
	Notes        []note
}

type note struct{ State, Pointer, Code, Text string }

type item struct {
	Key, Title, State, Error, Reason string
	RequestType                      string `json:"request_type"`
	Removal                          bool
	Attempts, Tries                  int
	Policies                         []struct {
		Policy, Via string
		Version     int64
	}
	QueuedAt   time.Time `json:"queued_at"`
	SentAt     time.Time `json:"sent_at"`
	FinishedAt time.Time `json:"finished_at"`
	RetryAt    time.Time `json:"retry_at"`
}

// find gives the item whose key ends like this.
func (r receipt) find(suffix string) (item, bool) {
	for _, i := range r.Items {
		if strings.HasSuffix(i.Key, suffix) {
			return i, true
		}
	}
	return item{}, false
}

func (p *play) receipt(serial string) (r receipt) {
	p.t.Helper()
	p.admin(http.MethodGet, "/devices/"+serial+"/receipt", nil, &r)
	return r
}

// settled waits until nothing of a device's policy is open any more. It is for
// the first delivery: later changes are waited for on the phone.
func (p *play) settled(serial string) (r receipt) {
	p.t.Helper()
	p.until("the policy of "+serial, func() bool {
		r = p.receipt(serial)
		return !r.CompletedAt.IsZero()
	})
	return r
}

// acknowledged waits for the policy and wants it whole.
func (p *play) acknowledged(serial string) receipt {
	p.t.Helper()
	r := p.settled(serial)
	for _, i := range r.Items {
		if i.State != "applied" {
			p.t.Errorf("%s of %s is %s: %s", i.Key, serial, i.State, i.Error)
		}
	}
	return r
}

// rows counts rows of a table.
func (p *play) rows(table, where string, args ...any) (n int) {
	p.t.Helper()
	query := "SELECT count(*) FROM " + table
	if where != "" {
		query += " WHERE " + where
	}
	if err := p.db.QueryRowContext(p.ctx, query, args...).Scan(&n); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// issued is everything that a refused device must not have got, and what it
// must not have used up.
type issued struct{ identities, challenges, spent, devices, enrollments int }

func (p *play) issued() issued {
	p.t.Helper()
	return issued{p.rows("identities", ""), p.rows("challenges", ""), p.rows("challenges", "used_at <> 0"),
		p.rows("devices", ""), p.rows("enrollments", "")}
}

// ---- the wire

// send does a request like a browser or a script and reads the answer.
func (p *play) send(method, target, contentType string, body io.Reader, header ...string) (*http.Response, []byte) {
	p.t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = p.url + target
	}
	req, err := http.NewRequestWithContext(p.ctx, method, target, body)
	p.must(err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := p.client.Do(req)
	p.must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	p.must(err)
	return res, answer
}

// download gets a profile.
func (p *play) download(path string) []byte {
	p.t.Helper()
	res, body := p.send(http.MethodGet, path, "", nil)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-apple-aspen-config" {
		p.t.Fatalf("GET %s: %d %s", path, res.StatusCode, body)
	}
	return body
}

// otaProfile and plainProfile are what the two links lead to; an empty secret
// is no request.
func (p *play) otaProfile(secret string) []byte {
	p.t.Helper()
	return p.download("/enroll/ota?request=" + url.QueryEscape(secret))
}

func (p *play) plainProfile(secret string) []byte {
	p.t.Helper()
	return p.download("/enroll/profile?request=" + url.QueryEscape(secret))
}

// ---- the phone

// phone is a simulated iPhone in the hands of the script.
type phone struct {
	*iphone.Phone
	p *play
}

func (p *play) phone(serial string, change ...func(*iphone.Config)) *phone {
	p.t.Helper()
	ph, err := p.Phone(serial, change...)
	p.must(err)
	p.t.Cleanup(ph.Close)
	return &phone{ph, p}
}

// Changes of a phone's configuration.
func supervised(c *iphone.Config) { c.Supervised = true }
func manual(c *iphone.Config)     { c.AutoConnect = false }
func awaiting(c *iphone.Config)   { c.AwaitingConfiguration = true }
func tamper(step string, change func(plist.Dict)) func(*iphone.Config) {
	return func(c *iphone.Config) {
		c.Tamper = func(s string, m plist.Dict) {
			if s == step {
				change(m)
			}
		}
	}
}

// enroll opens a link and installs what it leads to.
func (ph *phone) enroll(link string) *phone {
	ph.p.t.Helper()
	if err := ph.OpenLink(ph.p.ctx, link, iphone.Choice{}); err != nil {
		ph.p.t.Fatalf("%s does not enroll: %v", ph.Serial(), err)
	}
	if !ph.Enrolled() {
		ph.p.t.Fatalf("%s is not enrolled", ph.Serial())
	}
	return ph
}

// install is the person installing a downloaded profile.
func (ph *phone) install(profile []byte) {
	ph.p.t.Helper()
	if err := ph.Install(ph.p.ctx, profile); err != nil {
		ph.p.t.Fatalf("%s does not install the profile: %v", ph.Serial(), err)
	}
}

// turnedAway wants an attempt to be refused.
func (ph *phone) turnedAway(err error) *iphone.RefusedError {
	ph.p.t.Helper()
	var refused *iphone.RefusedError
	if !errors.As(err, &refused) {
		ph.p.t.Fatalf("%s was not refused: %v", ph.Serial(), err)
	}
	if ph.Enrolled() {
		ph.p.t.Fatalf("%s was refused and is enrolled", ph.Serial())
	}
	ph.p.noInternals(refused.Text)
	return refused
}

// want waits until the phone is as the condition says.
func (ph *phone) want(what string, condition func(*iphone.Phone) bool) {
	ph.p.t.Helper()
	ctx, cancel := context.WithTimeout(ph.p.ctx, patience)
	defer cancel()
	if err := ph.WaitFor(ctx, condition); err != nil {
		ph.p.t.Fatalf("%s: waited in vain: %s (profiles %v, commands %v)", ph.Serial(), what, ph.InstalledProfiles(), ph.CommandsSeen())
	}
}

func (ph *phone) connect() {
	ph.p.t.Helper()
	if err := ph.Connect(ph.p.ctx); err != nil {
		ph.p.t.Fatalf("%s: connect: %v", ph.Serial(), err)
	}
}

// connectUntil connects by itself, as a phone without push does that is woken
// by hand, until the condition holds.
func (ph *phone) connectUntil(what string, condition func() bool) {
	ph.p.t.Helper()
	ph.p.until(what, func() bool {
		ph.connect()
		return condition()
	})
}

// has says whether a profile of a policy is installed, by its id there.
func has(p *iphone.Phone, id string) bool {
	for identifier := range p.InstalledProfiles() {
		if strings.HasPrefix(identifier, "rollcall.policy.") && strings.HasSuffix(identifier, "."+id) {
			return true
		}
	}
	return false
}

func hasAll(ids ...string) func(*iphone.Phone) bool {
	return func(p *iphone.Phone) bool {
		for _, id := range ids {
			if !has(p, id) {
				return false
			}
		}
		return true
	}
}

// checkIn sends a message with the phone's identity and wants a status.
func (ph *phone) checkIn(want int, message plist.Dict) plist.Dict {
	ph.p.t.Helper()
	if message["UDID"] == nil {
		message["UDID"] = ph.UDID()
	}
	status, body, err := ph.CheckInRaw(ph.p.ctx, message)
	return ph.answer(want, status, body, err, message)
}

// ask sends a connect message with the phone's identity and wants a status.
func (ph *phone) ask(want int, message plist.Dict) plist.Dict {
	ph.p.t.Helper()
	if message["UDID"] == nil {
		message["UDID"] = ph.UDID()
	}
	status, body, err := ph.ConnectRaw(ph.p.ctx, message)
	return ph.answer(want, status, body, err, message)
}

func (ph *phone) answer(want, status int, body []byte, err error, message plist.Dict) plist.Dict {
	ph.p.t.Helper()
	ph.p.must(err)
	if status != want {
		ph.p.t.Errorf("%v%v was answered %d %q; want %d", message["MessageType"], message["Status"], status, body, want)
	}
	if status >= 400 {
		ph.p.noInternals(string(body))
	}
	if status != http.StatusOK || len(body) == 0 {
		return nil
	}
	if body[0] == '{' {
		var d plist.Dict
		ph.p.must(json.Unmarshal(body, &d))
		return d
	}
	d, err := plist.UnmarshalDict(body)
	ph.p.must(err)
	return d
}

// noInternals wants an error text without a look behind the counter.
func (p *play) noInternals(text string) {
	p.t.Helper()
	for _, s := range []string{"sql:", ".go:", "panic", "pq:", "SQLITE", "goroutine"} {
		if strings.Contains(text, s) {
			p.t.Errorf("an answer shows %q: %s", s, text)
		}
	}
}

func cutSQLite(dsn string) (path string, ok bool) { return strings.CutPrefix(dsn, "sqlite:") }
