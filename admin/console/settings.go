package console

import "slices"

// settingsPages is the area about the server itself: who it knows, what it
// tells others, how long it keeps what.
var settingsPages = slices.Concat(
	[]route{get("/settings", firstSettings)},
	userPages, administratorPages, apiTokenPages, mailPages, webhookPages, certificatePages, auditPages, aboutPages,
)

var settingsTabs = []tab{
	{"/settings/users", "settings.tab.users", "list-users"},
	{"/settings/administrators", "administrators.tab", "list-administrators"},
	{"/settings/tokens", "settings.tokens.title", "list-tokens"},
	{"/settings/mail", "settings.mail.title", "get-server"},
	{"/settings/webhooks", "settings.webhooks.title", "list-webhooks"},
	{"/settings/certificates", "settings.certificates.title", "get-server"},
	{"/settings/retention", "settings.retention.title", "get-server"},
	{"/settings/audit", "settings.audit.title", "list-audit"},
	{"/settings/about", "settings.about.title", "get-server"},
}

// firstSettings goes to the first tab that who is signed in can use.
func firstSettings(q *request) error {
	tabs, err := shown{request: q, view: view{Tabs: settingsTabs}}.Visible()
	if err != nil {
		return err
	}
	if len(tabs) == 0 {
		return errNoPage
	}
	q.redirect(tabs[0].Path)
	return nil
}

// settings answers with a page of the area.
func (q *request) settings(name string, v view) error {
	v.Area, v.Tabs = "settings", settingsTabs
	return q.page(name, v)
}

// question is the page before something that cannot be taken back.
type question struct {
	Help, Button string // texts
	Back         string // path below Prefix
}

// ask shows a question, whose form is sent to the page's own path.
func (q *request) ask(title string, data question, p *problem, crumbs ...crumb) error {
	return q.settings("settings-ask", view{Title: title, Data: data, Problem: p, Crumbs: crumbs})
}
