package console

import (
	"cmp"
	"net/http"
	"time"

	"rollcall/admin"
)

var certificatePages = []route{
	get("/settings/certificates", showCertificates),
	get("/settings/certificates/push/request", only("create-push-csr", newPushRequest)),
	post("/settings/certificates/push/request", makePushRequest),
	get("/settings/certificates/push/install", only("put-push-certificate", newPushCertificate)),
	post("/settings/certificates/push/install", installPushCertificate),
	get("/settings/certificates/{use}/certificate.pem", downloadCertificate),
}

// pushState is the push certificate.
type pushState struct {
	Installed  bool      `json:"installed"`
	Topic      string    `json:"topic"`
	Subject    string    `json:"subject"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	DaysLeft   int       `json:"days_left"`
	PendingCSR bool      `json:"pending_csr"`
}

// certificateWarning is how many days before an end a page begins to warn.
const certificateWarning = 30

// left is how urgent an end is: ended, soon or good.
func left(days int, ends, now time.Time) string {
	switch {
	case !now.Before(ends):
		return "ended"
	case days <= certificateWarning:
		return "soon"
	}
	return "good"
}

var certificateCrumb = crumb{"/settings/certificates", text("settings.certificates.title")}

func (q *request) server() (admin.ServerView, error) {
	var v admin.ServerView
	err := q.get("/server", nil, &v)
	return v, err
}

func showCertificates(q *request) error {
	type shownCertificate struct {
		admin.ServerCertificateView
		Left string
	}
	var data struct {
		Push         pushState
		PushLeft     string
		Certificates []shownCertificate
	}
	if err := q.get("/push-certificate", nil, &data.Push); err != nil {
		return err
	}
	server, err := q.server()
	if err != nil {
		return err
	}
	now := q.console.Now()
	data.PushLeft = left(data.Push.DaysLeft, data.Push.NotAfter, now)
	for _, c := range server.Certificates {
		data.Certificates = append(data.Certificates, shownCertificate{c, left(c.DaysLeft, c.NotAfter, now)})
	}
	return q.settings("settings-certificates", view{Title: text("settings.certificates.title"), Data: data})
}

func newPushRequest(q *request) error { return pushRequestForm(q, nil) }

func pushRequestForm(q *request, p *problem) error {
	return q.settings("settings-push-request", view{Title: text("settings.push.request"), Problem: p, Crumbs: []crumb{certificateCrumb}})
}

// makePushRequest shows the request; one for the same key can be made again.
func makePushRequest(q *request) error {
	var made struct {
		CSR string `json:"csr_pem"`
	}
	err := q.post("/push-certificate/csr", map[string]any{"email": q.Typed("email")}, &made)
	if p := refusal(err); p != nil {
		return pushRequestForm(q, p.place("push_csr_email", "/email"))
	}
	if err != nil {
		return err
	}
	return q.settings("settings-push-requested", view{Title: text("settings.push.requested"), Data: made.CSR, Crumbs: []crumb{certificateCrumb}})
}

func newPushCertificate(q *request) error { return pushCertificateForm(q, nil) }

func pushCertificateForm(q *request, p *problem) error {
	var now pushState
	if err := q.get("/push-certificate", nil, &now); err != nil {
		return err
	}
	return q.settings("settings-push-install", view{Title: text("settings.push.install"), Data: now, Problem: p, Crumbs: []crumb{certificateCrumb}})
}

// installPushCertificate takes files, or what was pasted.
func installPushCertificate(q *request) error {
	certificate, err := q.File("certificate_file")
	if err != nil {
		return err
	}
	key, err := q.File("key_file")
	if err != nil {
		return err
	}
	body := given(map[string]any{"certificate_pem": cmp.Or(q.Typed("certificate_pem"), string(certificate)), "key_pem": string(key)})
	if q.Typed("force") != "" {
		body["force"] = true
	}
	var installed pushState
	err = q.put("/push-certificate", body, &installed)
	if p := refusal(err); p != nil {
		return pushCertificateForm(q, p.place("push_topic_change", "/force", "push_certificate_older", "/certificate_pem", "push_certificate_unreadable", "/certificate_pem", "push_certificate_kind", "/certificate_pem",
			"push_certificate_expired", "/certificate_pem", "push_key_missing", "/key_pem", "push_key_mismatch", "/key_pem", "push_key_unreadable", "/key_pem", "push_key_encrypted", "/key_pem"))
	}
	if err != nil {
		return err
	}
	return q.done("/settings/certificates", "settings.push.installed", installed.DaysLeft)
}

// downloadCertificate gives a certificate as a file, for who has to trust it.
func downloadCertificate(q *request) error {
	server, err := q.server()
	if err != nil {
		return err
	}
	for _, c := range server.Certificates {
		if string(c.Use) == q.PathValue("use") && c.PEM != "" {
			q.w.Header().Set("Content-Type", "application/x-pem-file")
			q.w.Header().Set("Content-Disposition", `attachment; filename="`+string(c.Use)+`.pem"`)
			q.w.WriteHeader(http.StatusOK)
			_, err := q.w.Write([]byte(c.PEM))
			return err
		}
	}
	return errNoPage
}
