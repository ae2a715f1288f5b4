package console

import (
	"rollcall/admin"
)

var mailPages = []route{
	get("/settings/mail", showMail),
	post("/settings/mail", tryMail),
}

// mailTrial is what became of a test message.
type mailTrial struct {
	To       string `json:"-"`
	Accepted bool   `json:"accepted"`
	Step     string `json:"step"`
	Answer   string `json:"answer"`
}

// bouncedShown is how many messages that failed the page shows.
const bouncedShown = "20"

func showMail(q *request) error { return mailPage(q, nil, nil) }

func mailPage(q *request, trial *mailTrial, p *problem) error {
	data := struct {
		Server  admin.ServerView
		Trial   *mailTrial
		Bounced struct {
			Items      []invitation `json:"items"`
			NextCursor string       `json:"next_cursor"`
		}
	}{Trial: trial}
	if err := q.get("/server", nil, &data.Server); err != nil {
		return err
	}
	if err := q.get("/requests", query("state", "bounced", "limit", bouncedShown), &data.Bounced); err != nil {
		return err
	}
	return q.settings("settings-mail", view{Title: text("settings.mail.title"), Data: data, Problem: p})
}

// tryMail shows what the mail server said on the page itself, since it is about
// this moment.
func tryMail(q *request) error {
	trial := mailTrial{To: q.Typed("to")}
	err := q.post("/settings/mail/test", map[string]any{"to": trial.To}, &trial)
	if p := refusal(err); p != nil {
		return mailPage(q, nil, p.place("email_invalid", "/to"))
	}
	if err != nil {
		return err
	}
	return mailPage(q, &trial, nil)
}
