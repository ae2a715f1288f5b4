package admin_test

import (
	"bufio"
	"context"
	cells "encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/admin/webhook"
	"rollcall/enroll"
	"rollcall/sim/hooks"
)

func TestAudit(t *testing.T) {
	s := newServer(t)
	s.api.RequestID = func(context.Context) string { return "request 1" }
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate","name":"Desk"}`).want(201)
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate","name":"Desk"}`).want(200) // changes nothing
	s.as(admin.RoleOperator, "POST /devices/AAA/block", `{"reason":"lost"}`).want(200)
	s.do("DELETE /devices/NOBODY", "").want(404)
	s.as(admin.RoleViewer, "POST /groups", `{"name":"g"}`).want(403)
	token := s.do("POST /tokens", `{"name":"ci","role":"viewer"}`).want(201)
	s.do("PUT /policies/wifi", `{"document":{"wifi":[{"ssid":"X","security":"wpa2","password":"hunter2-hunter2"}]}}`).want(201)
	s.do("PUT /push-certificate", `{"certificate_pem":"cert","key_pem":"KEY"}`).want(200)
	log := s.do("GET /audit", "").want(200).says("!hunter2", "!"+fmt.Sprint(token.at("token")), "!KEY").
		is("items.0.operation=put-policy", "items.0.kind=policy", "items.0.key=wifi", "items.1.operation=create-token", "items.1.after.name=ci",
			"items.2.operation=block-device", "items.2.actor.name=the operator", "items.2.before.state=pre_enrolled", "items.2.after.block_reason=lost",
			"items.3.operation=put-device", "items.3.sequence=1", "items.3.path=/api/v1/devices/AAA", "items.3.key=AAA", "items.3.after.name=Desk", "items.3.before=",
			"items.3.request_id=request 1", "items.3.remote_addr=192.0.2.1:1234", "items.4=")
	s.do("GET /audit/verify", "").want(200).is("intact=true", "entries=4", fmt.Sprintf("head=%v", log.at("items.0.hash")))
	s.do("GET /audit?kind=device&key=AAA&limit=1", "").want(200).is("items.0.operation=block-device", "items.1=")
	page := s.do("GET /audit?limit=3", "").want(200)
	s.do(fmt.Sprintf("GET /audit?limit=3&cursor=%v", page.at("next_cursor")), "").want(200).is("items.0.sequence=1", "items.1=", "next_cursor=")
	s.do("GET /audit?cursor=eA", "").want(400).is("code=cursor_invalid")
	s.as(admin.RoleOperator, "GET /audit", "").want(403)
}

// TestIdempotencyKey makes requests again, with the same key and others.
func TestIdempotencyKey(t *testing.T) {
	s := newServer(t)
	const key = "Idempotency-Key: 5f0c"
	first := s.do("POST /tokens", `{"name":"ci","role":"viewer"}`, key).want(201)
	again := s.do("POST /tokens", `{"name":"ci","role":"viewer"}`, key).want(201)
	if string(again.raw) != string(first.raw) || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
		t.Errorf("again: %v %s, first %s", again.header, again.raw, first.raw)
	}
	if n := s.do("GET /tokens", "").count(); n != 4 {
		t.Errorf("%d tokens", n)
	}
	s.do("POST /tokens", `{"name":"cd","role":"viewer"}`, key).want(422).is("code=idempotency_key_reused")
	s.do("POST /groups", `{"name":"ci","role":"viewer"}`, key).want(422).is("code=idempotency_key_reused")
	s.as(admin.RoleOperator, "POST /groups", `{"name":"g"}`, key).want(201) // each token has its own keys
	s.do("POST /groups", `{"name":"g"}`, "Idempotency-Key: other").want(409).is("code=group_exists")
	s.do("DELETE /groups/g", "").want(204)
	s.do("POST /groups", `{"name":"g"}`, "Idempotency-Key: other").want(409).is("code=group_exists") // that is what was answered
	s.do("POST /groups", `{"name":"g"}`, "Idempotency-Key: "+strings.Repeat("x", 256)).want(422).is("code=idempotency_key_invalid")
	s.now = s.now.Add(admin.AnswerRetention + time.Second)
	s.do("POST /groups", `{"name":"g"}`, "Idempotency-Key: other").want(201)
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate"}`, key).want(201) // only of a POST
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate"}`, key).want(200)
}

// TestIdempotencyKeyInUse makes a request again while the first one runs, and
// after one that failed on the server's side.
func TestIdempotencyKeyInUse(t *testing.T) {
	s := newServer(t)
	started, goOn := make(chan struct{}), make(chan struct{})
	commands := s.api.Commands
	s.api.Commands = slowCommander{commands, started, goOn}
	s.handler = s.api.Handler()
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate"}`).want(201)
	var first *answer
	var wg sync.WaitGroup
	wg.Go(func() { first = s.do("POST /devices/AAA/push", "", "Idempotency-Key: k") })
	<-started
	if after := s.do("POST /devices/AAA/push", "", "Idempotency-Key: k").want(409).is("code=idempotency_key_in_use").header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After is %q", after)
	}
	close(goOn)
	wg.Wait()
	first.want(500)
	s.api.Commands = commands
	s.do("POST /devices/AAA/push", "", "Idempotency-Key: k").want(409).is("code=device_not_enrolled") // it ran this time
}

// slowCommander waits in Push, and fails.
type slowCommander struct {
	admin.Commander
	started, goOn chan struct{}
}

func (c slowCommander) Push(context.Context, enroll.Device) error {
	close(c.started)
	<-c.goOn
	return fmt.Errorf("the network is down")
}

// TestLargeAnswer repeats a request whose answer was too large to be kept.
func TestLargeAnswer(t *testing.T) {
	s := newServer(t)
	var ops []string
	for i := range 1000 {
		ops = append(ops, fmt.Sprintf(`{"method":"PUT","path":"/devices/S%04d","body":{"platform":"ios","ownership":"corporate","notes":%q}}`, i, strings.Repeat("n", 1000)))
	}
	body := `{"operations":[` + strings.Join(ops, ",") + `]}`
	s.do("POST /batch", body, "Idempotency-Key: k").want(200).is("failed=0")
	s.do("POST /batch", body, "Idempotency-Key: k").want(409).is("code=idempotency_answer_lost")
}

func TestBatch(t *testing.T) {
	s := newServer(t)
	put := func(serial string) string {
		return fmt.Sprintf(`{"method":"PUT","path":"/devices/%s","body":{"platform":"ios","ownership":"corporate"}}`, serial)
	}
	batch := func(atomic bool, ops ...string) string {
		return fmt.Sprintf(`{"atomic":%v,"operations":[%s]}`, atomic, strings.Join(ops, ","))
	}
	s.do("POST /groups", `{"name":"A/B"}`).want(201)
	s.as(admin.RoleOperator, "POST /batch", batch(false, put("AAA"), put("BBB"), `{"method":"PUT","path":"/devices/CCC","body":{}}`, `{"method":"DELETE","path":"/devices/NOBODY"}`,
		`{"method":"POST","path":"/devices/BBB/block","body":{"reason":"lost"}}`, `{"method":"PATCH","path":"/devices/AAA","body":{"name":"Desk"}}`,
		`{"method":"POST","path":"/groups/A%2FB/members","body":{"add":["AAA"]}}`, `{"method":"DELETE","path":"/devices/BBB"}`)).want(200).
		is("failed=2", "results.0.status=201", "results.0.body.serial=AAA", "results.2.status=422", "results.2.body.code=device_incomplete", "results.3.status=404",
			"results.4.body.state=blocked", "results.5.body.name=Desk", "results.6.body.devices=1", "results.7.status=204", "results.7.body=", "results.8=")
	s.do("GET /devices", "").want(200).is("items.0.serial=AAA", "items.1=")

	// All or none.
	s.do("POST /batch", batch(true, put("DDD"), put("EEE"), `{"method":"DELETE","path":"/devices/NOBODY"}`, put("FFF"))).want(422).
		is("code=batch_refused", "errors.0.pointer=/operations/2", "errors.0.code=device_unknown").says("none was done")
	s.do("POST /batch", batch(true, put("DDD"), `{"method":"PUT","path":"/devices/EEE","body":{"platform":"phone","ownership":"corporate"}}`)).want(422).
		is("errors.1.pointer=/operations/1/body/platform")
	s.do("GET /devices", "").want(200).is("items.0.serial=AAA", "items.1=")
	if told := s.told(); slices.Contains(told, "device.created DDD") {
		t.Errorf("told of what did not happen: %v", told)
	}
	kicks := s.kicks
	s.do("POST /batch", batch(true, put("DDD"), put("EEE"), `{"method":"POST","path":"/groups/A%2FB/members","body":{"add":["DDD","EEE"],"remove":["AAA"]}}`)).want(200).
		is("failed=0", "results.2.body.devices=2")
	if s.kicks == kicks {
		t.Error("nobody was woken")
	}
	if told := s.told(); !slices.Contains(told, "device.created DDD") {
		t.Errorf("told %v", told)
	}
	s.do("GET /audit?limit=3", "").want(200).is("items.0.operation=change-members", "items.1.operation=put-device", "items.1.key=EEE", "items.1.actor.name=the admin")
	s.do("GET /audit/verify", "").want(200).is("intact=true")

	// What a batch cannot hold.
	for op, code := range map[string]string{
		`{"method":"POST","path":"/devices/DDD/disenroll"}`:                     "operation_not_batchable",
		`{"method":"POST","path":"/batch","body":{"operations":[]}}`:            "operation_not_batchable",
		`{"method":"POST","path":"/tokens","body":{"name":"x","role":"admin"}}`: "operation_not_batchable",
		`{"method":"PUT","path":"/nowhere"}`:                                    "route_unknown",
		`{"method":"PUT","path":"devices/X"}`:                                   "batch_path_invalid",
		`{"method":"PUT","path":"/devices/%zz"}`:                                "batch_path_invalid",
		`{"method":"PUT","path":"/devices/X","body":{"platfrom":"ios"}}`:        "request_invalid",
	} {
		s.as(admin.RoleOperator, "POST /batch", batch(false, op)).want(200).is("failed=1", "results.0.body.code="+code)
	}
	s.do("POST /batch", batch(false)).want(422)
	s.do("POST /batch", batch(false, slices.Repeat([]string{put("AAA")}, 1001)...)).want(422)
	s.do("POST /batch", batch(false, `{"method":"GET","path":"/devices/AAA"}`)).want(422)
	s.as(admin.RoleViewer, "POST /batch", batch(false, put("AAA"))).want(403)
}

// publish gives all events their places, as the sender of webhooks does.
func (s *server) publish() {
	s.t.Helper()
	for {
		_, more, err := s.store.Publish(s.t.Context(), s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

// told lists all events as "type serial".
func (s *server) told() (out []string) {
	s.t.Helper()
	s.publish()
	events := s.do("GET /events?limit=1000", "").want(200)
	for i := range events.count() {
		out = append(out, fmt.Sprint(events.at(fmt.Sprintf("items.%d.type", i)), " ", events.at(fmt.Sprintf("items.%d.data.serial", i))))
	}
	return out
}

func TestEventList(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate","user":{"email":"anna@example.com"}}`).want(201)
	s.do("POST /devices/AAA/block", `{"reason":"lost"}`).want(200)
	s.do("POST /devices/AAA/unblock", "").want(200)
	decision := s.arrive("AAA")
	s.publish()
	all := s.as(admin.RoleViewer, "GET /events", "").want(200).
		is("items.0.type=device.created", "items.0.data.serial=AAA", "items.1.type=device.blocked", "items.2.type=device.unblocked").
		says(`"type":"gate.decided"`, decision.ID, "allow.listed", "!anna@example.com", "!lost", "!"+facts.UDID, "!"+facts.IMEI)
	s.do("GET /events?types=gate.*", "").want(200).is("items.0.type=gate.decided", "items.0.data.outcome=allow", "items.0.data.channel=ota", "items.1=")
	page := s.do("GET /events?limit=2", "").want(200)
	s.do(fmt.Sprintf("GET /events?limit=1&cursor=%v", page.at("next_cursor")), "").want(200).is("items.0.type=device.unblocked")
	end := fmt.Sprintf("GET /events?cursor=%v", all.at("next_cursor"))
	s.do(end, "").want(200).is("items=[]", fmt.Sprintf("next_cursor=%v", all.at("next_cursor")))
	s.do("DELETE /devices/AAA", "")
	s.do("PUT /devices/BBB", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.publish()
	s.do(end+"&types=device.created", "").want(200).is("items.0.data.serial=BBB", "items.1=")
	s.do("GET /events?types=device.eaten", "").want(422).is("code=event_type_unknown")
	s.do("GET /events?cursor=eA", "").want(400).is("code=cursor_invalid")
	s.do("GET /events?cursor=OTk5", "").want(400).is("code=cursor_invalid") // 999, which has not been given

	// What is no longer kept is not passed over in silence.
	if _, err := s.store.PurgeEvents(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.do(fmt.Sprintf("GET /events?cursor=%v", page.at("next_cursor")), "").want(410).is("code=events_gone")
	s.do("GET /events", "").want(200).is("items=[]")
}

// stream opens the event stream of a real server and gives its lines.
func stream(t *testing.T, url, token, lastID string) (lines chan string, answer *http.Response) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+admin.Prefix+"/events?types=device.*", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	answer, err = http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines = make(chan string)
	go func() {
		defer close(lines)
		defer answer.Body.Close()
		for scan := bufio.NewScanner(answer.Body); scan.Scan(); {
			if line := scan.Text(); line != "" && !strings.HasPrefix(line, ":") {
				lines <- line
			}
		}
	}()
	return lines, answer
}

// TestEventStream follows the stream of a running server, breaks off, and goes
// on where it was.
func TestEventStream(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	s := newServer(t)
	sender := &webhook.Sender{Outbox: s.store}
	stopping := make(chan struct{})
	s.api.EventsChanged, s.api.Stopping = sender.Changed, stopping
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() {
		if err := sender.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer workers.Wait()
	defer cancel()
	h := s.api.Handler()
	server := httptest.NewUnstartedServer(h)
	server.Config.WriteTimeout = 50 * time.Millisecond // which is not for a stream
	server.Start()
	defer server.Close()

	put := func(serial string) {
		s.do("PUT /devices/"+serial, `{"platform":"ios","ownership":"corporate"}`).want(201)
		sender.Kick()
	}
	next := func(lines chan string) (id, kind string, m webhook.Message) {
		t.Helper()
		for range 3 {
			name, value, _ := strings.Cut(<-lines, ": ")
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				if err := json.Unmarshal([]byte(value), &m); err != nil {
					t.Fatal(err)
				}
			}
		}
		return id, kind, m
	}
	put("BEFORE")
	for len(s.told()) < 1 {
	}
	lines, answer := stream(t, server.URL, s.tokens[admin.RoleViewer], "")
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	put("AAA")
	id, kind, m := next(lines)
	if kind != "device.created" || m.Type != enroll.EventDeviceCreated || m.Data.Serial != "AAA" {
		t.Errorf("the first event is %s %s %+v", id, kind, m)
	}
	put("BBB")
	if _, _, m := next(lines); m.Data.Serial != "BBB" {
		t.Errorf("the second event is %+v", m)
	}
	answer.Body.Close()

	resumed, answer := stream(t, server.URL, s.tokens[admin.RoleViewer], id)
	if _, _, m := next(resumed); m.Data.Serial != "BBB" {
		t.Errorf("going on after AAA: %+v", m)
	}
	refused, bad := stream(t, server.URL, s.tokens[admin.RoleViewer], "x")
	if problem := <-refused; bad.StatusCode != 400 || !strings.Contains(problem, "event_id_unknown") {
		t.Errorf("an unknown place: %d %s", bad.StatusCode, problem)
	}
	close(stopping)
	for line := range resumed {
		t.Errorf("after the end: %s", line)
	}
	answer.Body.Close()
	for range lines {
	}
	for range refused {
	}
}

// TestWebhook goes the whole way: an admin makes a webhook, something happens,
// a real receiver takes it; later it breaks, is repaired, and gets it again.
func TestWebhook(t *testing.T) {
	s := newServer(t)
	s.api.AllowPrivateWebhooks = true
	sender := &webhook.Sender{Outbox: s.store, AllowPrivate: true, Now: func() time.Time { return s.now }}
	receiver, err := hooks.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() {
		if err := sender.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer workers.Wait()
	defer cancel()

	s.do("POST /webhooks", `{"url":"http://hooks.example.com/"}`).want(422).is("code=webhook_url_invalid")
	s.do("POST /webhooks", `{"url":"https://hooks.example.com/","types":["device.eaten"]}`).want(422).is("code=event_type_unknown")
	s.as(admin.RoleOperator, "POST /webhooks", `{"url":"https://hooks.example.com/"}`).want(403)
	made := s.do("POST /webhooks", fmt.Sprintf(`{"url":%q,"types":["device.created","device.deleted"]}`, receiver.URL)).want(201).is("enabled=true", "failures=0")
	path := fmt.Sprintf("/webhooks/%v", made.at("id"))
	secret := fmt.Sprint(made.at("secret"))
	receiver.Knows(secret)
	for _, read := range []string{"/webhooks", path, "/audit"} {
		s.do("GET "+read, "").want(200).says("!" + secret)
	}

	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("POST /devices/AAA/block", `{"reason":"x"}`).want(200) // which nobody asked for
	sender.Kick()
	came, err := receiver.Wait(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if d := came[0]; d.Signature != nil || d.Event != "device.created" || d.Message.Data["serial"] != "AAA" {
		t.Errorf("came %+v, %v", d, d.Signature)
	}
	delivery := fmt.Sprintf("%s/deliveries", path)
	s.await("GET "+delivery, "items.0.state=delivered", "items.0.status=204", "items.0.attempts=1", "items.0.id="+came[0].ID, "items.0.type=device.created", "items.1=")

	receiver.Behave(hooks.Answer(500))
	s.do("DELETE /devices/AAA", "").want(204)
	sender.Kick()
	s.await("GET "+delivery, "items.0.state=pending", "items.0.status=500", "items.0.error=the receiver answered 500", "items.0.type=device.deleted")
	s.await("GET "+path, "failures=1", "enabled=true")
	receiver.Behave(hooks.Answer(200))
	s.do(fmt.Sprintf("POST %s/%v/redeliver", delivery, s.do("GET "+delivery, "").at("items.0.id")), "").want(409).is("code=delivery_pending")
	s.do(fmt.Sprintf("POST %s/%s/redeliver", delivery, came[0].ID), "").want(202).is("state=pending")
	s.do("PUT "+path, `{"enabled":false}`).want(200).is("enabled=false", "disabled_reason=An admin disabled it.")
	s.do("PUT "+path, `{"enabled":true,"types":[]}`).want(200).is("enabled=true", "failures=0", "types=[]")
	sender.Kick()
	s.await("GET "+delivery+"?state=delivered", "items.0.id="+came[0].ID)
	s.do("PUT "+path, `{"url":"ftp://x/"}`).want(422)
	s.do("GET "+delivery+"?state=lost", "").want(422)
	s.do("DELETE "+path, "").want(204)
	s.do("GET "+path, "").want(404).is("code=webhook_unknown")
	s.do("GET "+delivery, "").want(404)

	s.api.AllowPrivateWebhooks = false
	s.do("POST /webhooks", `{"url":"https://10.0.0.1/"}`).want(422).is("code=webhook_address_private")
}

// await asks until the answer has the values.
func (s *server) await(operation string, values ...string) {
	s.t.Helper()
	for {
		a := s.do(operation, "").want(200)
		right := true
		for _, pair := range values {
			path, want, _ := strings.Cut(pair, "=")
			got := ""
			if v := a.at(path); v != nil {
				got = fmt.Sprint(v)
			}
			right = right && got == want
		}
		if right {
			return
		}
		select {
		case <-s.t.Context().Done():
			s.t.Fatalf("%s never became %v: %s", operation, values, a.raw)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestForeignCursors gives each list a cursor that is well formed and none of
// its own.
func TestForeignCursors(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"corporate"}`).want(201)
	for _, path := range []string{"/devices?", "/devices/AAA/commands?", "/devices/AAA/timeline?", "/audit?", "/events?"} {
		s.do("GET "+path+"cursor=bm90aGluZw", "").want(400).is("code=cursor_invalid")
	}
}

func TestExport(t *testing.T) {
	s := newServer(t)
	const rows = 2345 // three pages
	var ops []string
	flush := func() {
		s.do("POST /batch", `{"operations":[`+strings.Join(ops, ",")+`]}`).want(200).is("failed=0")
		ops = nil
	}
	for i := range rows {
		platform := []string{"ios", "android"}[i%2]
		ops = append(ops, fmt.Sprintf(`{"method":"PUT","path":"/devices/S%05d","body":{"platform":%q,"ownership":"corporate","name":"Desk %d"}}`, i, platform, i))
		if len(ops) == 1000 {
			flush()
		}
	}
	flush()
	s.do("PUT /devices/AAA", `{"platform":"ios","ownership":"personal","name":"=1+1","asset_tag":"@x","notes":"a, \"b\"\nc","user":{"email":"anna@example.com","name":"'-Anna","mobile":"+49 151 2345678"}}`).want(201)
	decision := s.arrive("S00000")

	read := func(query string) [][]string {
		t.Helper()
		a := s.as(admin.RoleViewer, "GET /devices"+query, "", "Accept: text/csv").want(200)
		if ct := a.header.Get("Content-Type"); ct != "text/csv; charset=utf-8" || a.header.Get("Content-Disposition") != `attachment; filename="devices.csv"` {
			t.Errorf("the answer is %s, %v", ct, a.header)
		}
		records, err := cells.NewReader(strings.NewReader(string(a.raw))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	all := read("?limit=5")
	if len(all) != rows+2 || strings.Join(all[0][:7], ",") != "name,email,mobile,ownership,devicename,SerialNumber,platform" {
		t.Fatalf("%d lines, header %v", len(all), all[0])
	}
	if got := strings.Join(all[1][:7], "|"); got != "''-Anna|anna@example.com|'+49 151 2345678|personal|'=1+1|AAA|ios" {
		t.Errorf("the first row is %s", got)
	}
	if n := len(read("?platform=android")); n != rows/2+1 {
		t.Errorf("%d lines of android", n)
	}
	if n := len(read("?q=NOBODY")); n != 1 {
		t.Errorf("%d lines of nothing", n)
	}
	// Before the user has accepted, an export shows no more than the API.
	s.as(admin.RoleViewer, "GET /devices", "", "Accept: text/csv").says("!"+facts.UDID, "!"+facts.IMEI)
	lines := strings.Split(strings.TrimSpace(string(s.as(admin.RoleViewer, "GET /devices?platform=ios", "", "Accept: application/x-ndjson").want(200).raw)), "\n")
	if len(lines) != rows/2+2 {
		t.Errorf("%d lines of NDJSON", len(lines))
	}
	var first admin.DeviceView
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Serial != "AAA" || first.Name != "=1+1" {
		t.Errorf("the first line is %s, %v", lines[0], err)
	}
	s.do("GET /decisions", "", "Accept: text/csv").want(200).says(decision.ID, "allow.listed", "!"+facts.UDID)
	s.do("GET /requests", "", "Accept: application/x-ndjson").want(200)
	s.do("GET /requests", "", "Accept: text/csv").want(200).says("id,serial")
	s.do("GET /devices?group=nobody", "", "Accept: text/csv").want(404).is("code=group_unknown")
	s.do("GET /devices", "", "Accept: application/json, text/csv").want(200).says(`"items":`)
}

// TestExportRoundTrip imports what was exported, into the same server, where
// nothing changes, and into an empty one, from which the same comes out again.
func TestExportRoundTrip(t *testing.T) {
	s := newServer(t)
	s.do("POST /groups", `{"name":"Sales"}`).want(201)
	s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"personal","name":"=1+1","asset_tag":"@x","tags":["a","b"],"notes":"a, \"b\"\nc","max_uses":3,"expires_at":"2027-01-01T00:00:00Z",
		"user":{"email":"anna@example.com","name":"'-Anna","mobile":"+49 151 2345678"}}`).want(201)
	s.do("PUT /devices/AAA2", `{"platform":"android","ownership":"selectuser","name":"'quoted'","notes":"-","user":{"email":"b@example.com","name":"Бoб"}}`).want(201)
	s.do("PUT /devices/AAA3", `{"platform":"apple","ownership":"corporate","notes":"nobody's"}`).want(201)
	s.do("POST /groups/Sales/members", `{"add":["AAA1","AAA2"]}`).want(200)
	export := func(s *server) string {
		t.Helper()
		return string(s.do("GET /devices", "", "Accept: text/csv").want(200).raw)
	}
	const upload, isCSV = "POST /imports?domain=local&owner=optional&apply=true", "Content-Type: text/csv"
	file := export(s)
	s.do(upload, file, isCSV).want(201).is("counts.rows=3", "counts.unchanged=3", "counts.error=0", "counts.new=0", "counts.changed=0")

	other := newServer(t)
	other.do(upload, file, isCSV).want(201).is("state=applied", "counts.new=3", "counts.error=0")
	other.do("GET /devices/AAA1", "").is("name==1+1", "user.name='-Anna", "user.mobile=+49 151 2345678", "asset_tag=@x", "notes=a, \"b\"\nc", "max_uses=3", "tags.1=b", "groups.0=Sales", "expires_at=2027-01-01T00:00:00Z")
	other.do("GET /devices/AAA2", "").is("name='quoted'", "notes=-")
	clocks := func(text string) (lines []string) {
		records, err := cells.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			lines = append(lines, strings.Join(r[:len(r)-2], "|")) // without created_at and updated_at
		}
		return lines
	}
	if got, want := clocks(export(other)), clocks(file); !slices.Equal(got, want) {
		t.Errorf("the second export differs:\n%q\nfirst:\n%q", got, want)
	}
	// However many rows, an import is one entry.
	log := other.do("GET /audit?operation=apply-import", "").want(200).is("items.0.kind=import", "items.0.after.counts.new=3", "items.0.actor.name=the admin")
	if log.count() != 1 {
		t.Errorf("the log has %s", log.raw)
	}
	if n := other.do("GET /audit?kind=device", "").want(200).count(); n != 0 {
		t.Errorf("%d entries of single devices", n)
	}
	if told := slices.DeleteFunc(other.told(), func(e string) bool { return !strings.HasPrefix(e, "device.") }); !slices.Equal(told, []string{"device.imported <nil>"}) {
		t.Errorf("told %v", told)
	}
	other.do("GET /audit/verify", "").want(200).is("intact=true")
}
