package amapi

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// publish publishes a message of a type, and returns its id.
func (b *bench) publish(kind string) string { return b.cloud.Publish(b.topic, kind, []byte(`{}`)) }

// leased pulls without acknowledging: ackIds by message id.
func (b *bench) leased() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	for _, m := range list(b.ok("POST", b.subscription+":pull", object{"maxMessages": 100}), "receivedMessages") {
		out[text(m, "message.messageId")] = text(m, "ackId")
	}
	return out
}

func TestPull(t *testing.T) {
	b := newBench(t)
	b.refused("POST", b.subscription+":pull", object{}, "INVALID_ARGUMENT", "maxMessages")
	b.refused("POST", b.subscription+":pull", object{"max_messages": 1}, "INVALID_ARGUMENT", "Cannot find field")
	b.refused("POST", "projects/sim-project/subscriptions/none:pull", object{"maxMessages": 1}, "NOT_FOUND", "")
	b.refused("POST", "projects/other/subscriptions/rollcall:pull", object{"maxMessages": 1}, "PERMISSION_DENIED", "")
	b.refused("POST", b.subscription+":acknowledge", object{}, "INVALID_ARGUMENT", "No ack ids")
	id := b.publish("STATUS_REPORT")
	first := b.leased()
	if len(first) != 1 || first[id] == "" || len(b.leased()) != 0 {
		t.Fatal(first)
	}
	// Not acknowledged in time: it comes again, and the old id is worth nothing.
	b.clock.advance(10 * time.Second)
	second := b.leased()
	if second[id] == "" || second[id] == first[id] {
		t.Fatal(second)
	}
	b.ok("POST", b.subscription+":acknowledge", object{"ackIds": []any{first[id]}})
	if b.cloud.Unacknowledged(b.subscription) != 1 {
		t.Error("an old id acknowledged")
	}
	// A longer deadline, and none at all.
	b.ok("POST", b.subscription+":modifyAckDeadline", object{"ackIds": []any{second[id]}, "ackDeadlineSeconds": 600})
	b.clock.advance(599 * time.Second)
	if len(b.leased()) != 0 {
		t.Error("it came before its deadline")
	}
	b.ok("POST", b.subscription+":modifyAckDeadline", object{"ackIds": []any{second[id]}, "ackDeadlineSeconds": 0})
	third := b.leased()
	b.ok("POST", b.subscription+":acknowledge", object{"ackIds": []any{third[id]}})
	b.clock.advance(time.Hour)
	b.signIn()
	if b.cloud.Unacknowledged(b.subscription) != 0 || len(b.leased()) != 0 {
		t.Error("an acknowledged message came again")
	}
	b.refused("POST", b.subscription+":modifyAckDeadline", object{"ackIds": []any{"x"}, "ackDeadlineSeconds": 601}, "INVALID_ARGUMENT", "600")
}

// A pull waits for a message.
func TestPullWaits(t *testing.T) {
	b := newBench(t)
	b.cloud.options.PullWait = time.Minute
	got := make(chan map[string]string)
	go func() { got <- b.leased() }()
	for b.cloud.Calls()[pullCall] < 2 { // the first was newBench's
		time.Sleep(time.Millisecond)
	}
	id := b.publish("COMMAND")
	if m := <-got; m[id] == "" {
		t.Error(m)
	}
	if out := b.ok("POST", b.subscription+":pull", object{"maxMessages": 1, "returnImmediately": true}); len(out) != 0 {
		t.Error(out)
	}
}

func TestTopicsAndSubscriptions(t *testing.T) {
	b := newBench(t)
	topic, sub := "projects/sim-project/topics/second", "projects/sim-project/subscriptions/second"
	b.refused("GET", topic, nil, "NOT_FOUND", "")
	b.ok("PUT", topic, object{"messageRetentionDuration": "86400s"})
	b.refused("PUT", topic, object{}, "ALREADY_EXISTS", "")
	b.refused("PUT", "projects/other/topics/x", object{}, "PERMISSION_DENIED", "")
	b.refused("PUT", sub, object{"topic": "projects/sim-project/topics/none"}, "NOT_FOUND", "")
	b.refused("PUT", sub, object{"topic": topic, "ackDeadlineSeconds": 5}, "INVALID_ARGUMENT", "ack deadline")
	b.refused("PUT", sub, object{"topic": topic, "pushEndpoint": "x"}, "INVALID_ARGUMENT", "Cannot find field")
	b.refused("PUT", sub, object{"topic": topic, "pushConfig": object{"pushEndpoint": "http://mdm.example.com/"}}, "INVALID_ARGUMENT", "https")
	b.refused("PUT", sub, object{"topic": topic, "pushConfig": object{"pushEndpoint": "https://mdm.example.com/", "oidcToken": object{}}}, "INVALID_ARGUMENT", "serviceAccountEmail")
	b.ok("PUT", sub, object{"topic": topic, "ackDeadlineSeconds": 60, "expirationPolicy": object{}, "deadLetterPolicy": object{"maxDeliveryAttempts": 5}})
	b.refused("PUT", sub, object{"topic": topic}, "ALREADY_EXISTS", "")
	if out := b.ok("GET", sub, nil); number(out, "ackDeadlineSeconds") != 60 {
		t.Error(out)
	}
	data := base64.StdEncoding.EncodeToString([]byte("hello"))
	b.refused("POST", topic+":publish", object{}, "INVALID_ARGUMENT", "no messages")
	b.refused("POST", topic+":publish", object{"messages": []any{object{}}}, "INVALID_ARGUMENT", "empty")
	b.refused("POST", topic+":publish", object{"messages": []any{object{"data": "?"}}}, "INVALID_ARGUMENT", "base64")
	out := b.ok("POST", topic+":publish", object{"messages": []any{object{"data": data, "attributes": object{"a": "b"}}}})
	got := list(b.ok("POST", sub+":pull", object{"maxMessages": 1}), "receivedMessages")[0]
	delete(got, "ackId")
	want := object{"deliveryAttempt": got["deliveryAttempt"], "message": object{"messageId": texts(out, "messageIds")[0], "data": data, "attributes": object{"a": "b"}, "publishTime": "2026-11-22T06:00:00Z"}}
	if diff := cmp.Diff(want, got); diff != "" || number(got, "deliveryAttempt") != 1 {
		t.Error(diff)
	}
	b.ok("DELETE", sub, nil)
	b.refused("DELETE", sub, nil, "NOT_FOUND", "")
	b.ok("DELETE", topic, nil)
	b.refused("POST", topic+":publish", object{}, "NOT_FOUND", "")
}

// The Android Management API reports to a topic only when it was granted that.
func TestTopicGrants(t *testing.T) {
	b := newBench(t)
	topic := "projects/sim-project/topics/second"
	b.ok("PUT", topic, object{})
	patch := func() (int, object) {
		return b.try("PATCH", b.enterprise+"?updateMask=pubsubTopic", object{"pubsubTopic": topic})
	}
	if status, out := patch(); status != 400 || !strings.Contains(text(out, "error.message"), "android-cloud-policy@system.gserviceaccount.com may not publish") {
		t.Error(status, out)
	}
	grant := func(etag, role, member string) object {
		policy := object{"bindings": []any{object{"role": role, "members": []any{member}}}}
		if etag != "" {
			policy["etag"] = etag
		}
		return object{"policy": policy}
	}
	b.ok("POST", topic+":setIamPolicy", grant("", publisherRole, "user:a@example.com"))
	if status, _ := patch(); status != 400 {
		t.Error("somebody else was granted it:", status)
	}
	b.ok("POST", topic+":setIamPolicy", grant("", "roles/pubsub.viewer", publisher))
	if status, _ := patch(); status != 400 {
		t.Error("a role that may not publish:", status)
	}
	etag := text(b.ok("GET", topic+":getIamPolicy", nil), "etag")
	b.ok("POST", topic+":setIamPolicy", grant(etag, publisherRole, publisher))
	b.refused("POST", topic+":setIamPolicy", grant(etag, publisherRole, publisher), "ABORTED", "concurrent")
	if status, out := patch(); status != 200 {
		t.Error(out)
	}
	b.refused("POST", topic+":setIamPolicy", object{"policy": object{"bindings": []any{object{"role": "x"}}}}, "INVALID_ARGUMENT", "members")
	b.refused("POST", topic+":setIamPolicy", object{"bindings": []any{}}, "INVALID_ARGUMENT", "Cannot find field")
	b.refused("GET", "projects/sim-project/topics/none:getIamPolicy", nil, "NOT_FOUND", "")
}

func TestMessageFaults(t *testing.T) {
	b := newBench(t)
	ids := func() []string {
		t.Helper()
		out := []string{}
		for _, n := range b.pull() {
			out = append(out, n.id)
		}
		return out
	}
	spoil := func(f MessageFault) {
		t.Helper()
		f.Times = 1
		if err := b.cloud.SpoilMessages(f); err != nil {
			t.Fatal(err)
		}
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	spoil(MessageFault{Kind: Duplicate, Type: "COMMAND"})
	other, command := b.publish("STATUS_REPORT"), b.publish("COMMAND")
	want(ids(), other, command, command)

	spoil(MessageFault{Kind: Reorder})
	first := b.publish("COMMAND")
	want(ids(), []string{}...)
	second := b.publish("COMMAND")
	want(ids(), second, first)
	spoil(MessageFault{Kind: Reorder})
	last := b.publish("COMMAND")
	b.cloud.ReleaseMessages()
	want(ids(), last)

	spoil(MessageFault{Kind: Delay, Delay: time.Minute})
	late := b.publish("COMMAND")
	want(ids(), []string{}...)
	b.clock.advance(time.Minute)
	want(ids(), late)

	spoil(MessageFault{Kind: Redeliver})
	again := b.publish("COMMAND")
	want(ids(), again, again)

	spoil(MessageFault{Kind: Vanish})
	b.publish("COMMAND")
	want(ids(), []string{}...)

	spoil(MessageFault{Kind: Republish})
	b.publish("COMMAND")
	if got := ids(); len(got) != 2 || got[0] == got[1] {
		t.Error(got)
	}
	if b.cloud.SpoilMessages(MessageFault{Kind: "explode"}) == nil {
		t.Error("an unknown kind")
	}
	if err := b.cloud.SpoilMessages(MessageFault{Kind: Vanish}); err != nil {
		t.Fatal(err)
	}
	b.cloud.Heal()
	want(ids(), []string{}...)
	want(ids(), []string{}...)
	healed := b.publish("COMMAND")
	want(ids(), healed)
}
