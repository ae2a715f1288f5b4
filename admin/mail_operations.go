package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/admin/mail"
	"rollcall/enroll"
)

// Mailer sends the messages of enrollment requests.
type Mailer interface {
	// Try sends a test mail and tells what the mail server said;
	// enroll.KindConflict where there is no mail server.
	Try(ctx context.Context, to string) (mail.Trial, error)
	// Preview writes a message and sends nothing; enroll.KindInvalid where the
	// letter goes no way that has texts.
	Preview(l enroll.Letter) (mail.Preview, error)
}

type trialView struct {
	Accepted bool   `json:"accepted" doc:"The mail server took the message. Whether it arrives is for its reader to see."`
	Step     string `json:"step" enum:"connect,tls,greeting,login,sender,recipient,content,done" doc:"How far it came."`
	Answer   string `json:"answer" doc:"The mail server's words, or what went wrong on the way to it."`
}

func (r routes) mail() {
	a := r.a
	type tryMail struct {
		Body struct {
			To string `json:"to" minLength:"1" maxLength:"254" doc:"The address that gets the test message."`
		}
	}
	add(r, RoleAdmin, huma.Operation{OperationID: "test-mail", Method: http.MethodPost, Path: "/settings/mail/test", Tags: []string{"Settings"}, Summary: "Send a test mail",
		Description: "At once, and without queue or repetition. A refusal is an answer like any other: look at accepted."},
		func(ctx context.Context, in *tryMail) (*body[trialView], error) {
			t, err := a.Mail.Try(ctx, in.Body.To)
			if err != nil {
				return nil, err
			}
			return &body[trialView]{trialView{Accepted: t.Accepted, Step: t.Step, Answer: t.Answer}}, nil
		})
}
