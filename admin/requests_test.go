package admin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/admin/mail"
	"rollcall/enroll"
	peer "rollcall/sim/mail"
)

// noted tells of every result that was stored.
type noted struct {
	mail.Outbox
	stored chan enroll.MessageResult
}

func (o noted) FinishMessage(ctx context.Context, r enroll.MessageResult) error {
	err := o.Outbox.FinishMessage(ctx, r)
	o.stored <- r
	return err
}

// post is a server that sends mail to a mail server.
type post struct {
	*server
	mails  *peer.Server
	stored chan enroll.MessageResult
	work   func() // starts the sender
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{server: newServer(t), stored: make(chan enroll.MessageResult, 100)}
	var err error
	if p.mails, err = peer.New(peer.Options{User: "rollcall", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.mails.Close)
	smtp, err := mail.NewSMTP(mail.SMTPConfig{URL: p.mails.URL(), Password: "secret", RootCAs: p.mails.Roots(), From: "mdm@example.net"})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := mail.New(mail.Options{Outbox: noted{p.store, p.stored}, SMTP: smtp, Organization: "Example", Poll: time.Hour,
		Link: func(secret string) string { return admin.RequestLink(p.api.PublicURL, secret) }, Now: p.api.Now, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	p.api.Mail, p.api.Requests.Channels, p.api.Kick = sender, sender.Channels(), sender.Kick
	p.work = func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- sender.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range []string{"anna", "bert"} {
		p.do("PUT /devices/"+strings.ToUpper(name), fmt.Sprintf(`{"platform":"ios","ownership":"corporate","user":{"email":"%s@example.com","name":"Name of %[1]s"}}`, name)).want(201)
	}
	p.do("PUT /devices/NOBODYS", `{"platform":"ios","ownership":"corporate"}`).want(201)
	return p
}

// send sends by mail and gives the IDs of the requests.
func (p *post) order(body string) []string {
	p.t.Helper()
	a := p.as(admin.RoleOperator, "POST /requests", body).want(201)
	var ids []string
	for i := range a.count() {
		item := fmt.Sprintf("items.%d.", i)
		a.is(item+"state=queued", item+"via=email", item+"link=")
		ids = append(ids, fmt.Sprint(a.at(item+"id")))
	}
	return ids
}

// await waits until so many results are stored.
func (p *post) await(n int) {
	p.t.Helper()
	for range n {
		select {
		case <-p.stored:
		case <-time.After(10 * time.Second):
			p.t.Fatal("nothing was sent")
		}
	}
}

func TestRequestByMail(t *testing.T) {
	p := newPost(t)
	p.work()
	if n := len(p.mails.Messages()); n != 0 {
		t.Fatalf("%d messages before Send", n)
	}
	ids := p.order(`{"serials":["anna"],"via":"email"}`)
	p.await(1)
	if len(p.mails.Messages()) != 1 {
		t.Fatalf("messages %+v: only who was chosen is written to", p.mails.Messages())
	}
	m, err := p.mails.Wait(t.Context(), "anna@example.com", 1)
	if err != nil {
		t.Fatal(err)
	}
	p.do("GET /requests/"+ids[0], "").want(200).is("state=sent", "via=email", "serial=ANNA", "problem=")
	list := p.as(admin.RoleViewer, "GET /requests/"+ids[0]+"/messages", "").want(200).is("items.0.kind=invitation", "items.0.via=email", "items.0.attempts=1",
		"items.0.sent_at=2026-05-04T10:00:00Z", "items.0.due_at=", "items.0.error=")
	if id := fmt.Sprint(list.at("items.0.id")); m.ID != id+"@example.net" {
		t.Errorf("Message-ID %s, the message is %s", m.ID, id)
	}
	secret, ok := strings.CutPrefix(m.Links()[0], "https://mdm.example.com/enroll/r/")
	if !ok {
		t.Fatalf("links %v", m.Links())
	}
	list.says("!" + secret)
	if inv, err := p.api.Requests.Open(t.Context(), secret); err != nil || inv.Request.ID != ids[0] {
		t.Fatalf("the mailed link: %v", err)
	}
	p.do("GET /requests?state=opened", "").want(200).is("items.0.id="+ids[0], "items.1=")
	p.do("GET /requests?state=sent", "").want(200).is("items=[]")
	p.do("GET /requests?state=lost", "").want(422)
}

func TestRequestThatBounces(t *testing.T) {
	p := newPost(t)
	p.mails.Treat("anna@example.com", peer.Rule{Code: 550, Text: "No such user"})
	p.work()
	p.order(`{"serials":["ANNA","BERT"],"via":"email"}`)
	p.await(2)
	id := fmt.Sprint(p.do("GET /requests?state=bounced", "").want(200).is("items.0.serial=ANNA", "items.0.problem=550 5.1.1 No such user", "items.1=").at("items.0.id"))
	p.do("GET /requests?state=sent", "").is("items.0.serial=BERT", "items.1=")
	p.mails.Treat("anna@example.com", peer.Rule{})
	p.as(admin.RoleOperator, "POST /requests/"+id+"/resend", "").want(200).is("state=queued", "problem=", "link=")
	p.await(1)
	p.do("GET /requests/"+id, "").is("state=sent")
	p.do("GET /requests/"+id+"/messages", "").want(200).is("items.0.error=550 5.1.1 No such user", "items.1.error=", "items.2=")
	p.do("POST /requests/"+id+"/resend", `{"via":"link"}`).want(200).is("state=sent", "via=link").says("https://mdm.example.com/enroll/r/")
	p.do("POST /requests/"+id+"/cancel", "").want(200)
	p.do("POST /requests/"+id+"/resend", "").want(409).is("code=request_closed")
	p.do("POST /requests/none/resend", "").want(404)
	p.do("GET /requests/none/messages", "").want(404)
	p.as(admin.RoleViewer, "POST /requests/"+id+"/resend", "").want(403)
}

func TestRequestsThatAreRefused(t *testing.T) {
	p := newPost(t)
	p.do("POST /requests", `{"serials":["ANNA","NOBODYS"],"via":"email"}`).want(409).is("code=user_missing").says("NOBODYS")
	p.do("POST /requests", `{"serials":["ANNA"],"via":"sms"}`).want(409).is("code=sms_not_configured")
	p.do("POST /requests", `{"serials":["ANNA"],"via":"pigeon"}`).want(422)
	p.do("POST /requests", `{"via":"email"}`).want(422).is("code=recipients_missing")
	p.as(admin.RoleViewer, "POST /requests", `{"serials":["ANNA"],"via":"email"}`).want(403)
	p.do("GET /requests", "").want(200).is("items=[]")
	p.api.Requests.Channels = nil
	p.do("POST /requests", `{"serials":["ANNA"],"via":"email"}`).want(409).is("code=mail_not_configured")
}

func TestRequestsOfAGroup(t *testing.T) {
	p := newPost(t)
	p.do("POST /groups", `{"name":"Sales"}`).want(201)
	p.do("POST /groups/Sales/members", `{"add":["ANNA","BERT"]}`).want(200)
	ids := p.order(`{"group":"Sales","via":"email"}`)
	if len(ids) != 2 {
		t.Fatalf("%d requests", len(ids))
	}
	// Withdrawn before the sender came to it.
	p.do("POST /requests/"+ids[0]+"/cancel", "").want(200)
	p.do("GET /requests/"+ids[0]+"/messages", "").is("items.0.error=no longer needed", "items.0.due_at=", "items.0.attempts=0")
	p.work()
	p.await(1)
	if got := p.mails.Messages(); len(got) != 1 {
		t.Errorf("messages %+v", got)
	}
}

func TestTestMail(t *testing.T) {
	p := newPost(t)
	p.mails.Treat("gone@example.com", peer.Rule{Code: 550, Text: "No such user"})
	const path = "POST /settings/mail/test"
	p.do(path, `{"to":"desk@example.com"}`).want(200).is("accepted=true", "step=done")
	if n := len(p.mails.To("desk@example.com")); n != 1 {
		t.Errorf("%d messages", n)
	}
	p.do(path, `{"to":"gone@example.com"}`).want(200).is("accepted=false", "step=recipient", "answer=550 5.1.1 No such user")
	p.do(path, `{"to":"nobody"}`).want(422).is("code=email_invalid")
	p.as(admin.RoleOperator, path, `{"to":"desk@example.com"}`).want(403)
	p.mails.Down()
	p.do(path, `{"to":"desk@example.com"}`).want(200).is("accepted=false", "step=connect").says("refused")
	without, err := mail.New(mail.Options{Outbox: p.store, Link: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	p.api.Mail = without
	p.do(path, `{"to":"desk@example.com"}`).want(409).is("code=mail_not_configured")
}
