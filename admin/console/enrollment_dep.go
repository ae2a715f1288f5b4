package console

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"time"
)

var depPages = []route{
	get("/enrollment/dep", listDEPAccounts),
	get("/enrollment/dep/new", only("create-dep-account", newDEPAccount)),
	post("/enrollment/dep/new", makeDEPAccount),
	get("/enrollment/dep/report", depReport),
	get("/enrollment/dep/accounts/{account}", showDEPAccount),
	get("/enrollment/dep/accounts/{account}/status", depStatus),
	get("/enrollment/dep/accounts/{account}/certificate", depCertificate),
	post("/enrollment/dep/accounts/{account}/token", uploadDEPToken),
	post("/enrollment/dep/accounts/{account}/settings", changeDEPAccount),
	post("/enrollment/dep/accounts/{account}/sync", syncDEPAccount),
	get("/enrollment/dep/accounts/{account}/devices", depDevices),
	get("/enrollment/dep/accounts/{account}/disown", only("disown-dep-devices", askDisown)),
	post("/enrollment/dep/accounts/{account}/disown", disown),
	get("/enrollment/dep/accounts/{account}/discovery", showDiscovery),
	post("/enrollment/dep/accounts/{account}/discovery", setDiscovery),
	get("/enrollment/dep/accounts/{account}/delete", only("delete-dep-account", askDeleteDEPAccount)),
	post("/enrollment/dep/accounts/{account}/delete", deleteDEPAccount),
}

// depAccount is a connection to Apple Business or School Manager.
type depAccount struct {
	Name             string                `json:"name"`
	AddAsPreEnrolled bool                  `json:"add_as_pre_enrolled"`
	Default          depDefault            `json:"default"`
	Families         map[string]depDefault `json:"families"`
	Token            *struct {
		InstalledAt time.Time `json:"installed_at"`
		ExpiresAt   time.Time `json:"expires_at"`
		DaysLeft    int       `json:"days_left"`
	} `json:"token"`
	Server *struct {
		Name         string `json:"name"`
		UUID         string `json:"uuid"`
		Organization string `json:"organization"`
		Type         string `json:"type"`
		Admin        string `json:"admin"`
	} `json:"server"`
	Devices int      `json:"devices"`
	Sync    syncInfo `json:"sync"`
}

type depDefault struct {
	Group   string `json:"group"`
	Profile string `json:"profile"`
}

// syncInfo is how far a list of a cloud has been taken over.
type syncInfo struct {
	Running   bool          `json:"running"`
	StartedAt time.Time     `json:"started_at"`
	DoneAt    time.Time     `json:"done_at"`
	DueAt     time.Time     `json:"due_at"`
	Failures  int           `json:"failures"`
	Problem   *cloudProblem `json:"problem"`
}

// cloudProblem is what keeps a cloud from being used.
type cloudProblem struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint"`
	Since time.Time `json:"since"`
}

// Soon says whether the token has to be renewed.
func (a depAccount) Soon() bool { return a.Token != nil && a.Token.DaysLeft <= 30 }

// Terms says whether Apple waits for its terms to be accepted.
func (a depAccount) Terms() bool {
	return a.Sync.Problem != nil && a.Sync.Problem.Code == "dep_t_c_not_signed"
}

// FamilyOf is what devices of a family get instead.
func (a depAccount) FamilyOf(family string) depDefault { return a.Families[family] }

// families are the kinds of Apple devices, by Apple's names.
var families = []string{"iPhone", "iPad", "Mac", "AppleTV"}

func depCrumbs(account string) []crumb {
	out := []crumb{{"/enrollment/dep", text("enrollment.dep.title")}}
	if account != "" {
		out = append(out, crumb{at("/enrollment/dep/accounts/%s", account), account})
	}
	return out
}

func listDEPAccounts(q *request) error {
	var data struct {
		Items []depAccount `json:"items"`
	}
	if err := q.get("/dep/accounts", nil, &data); err != nil {
		return err
	}
	return q.enrollment("enrollment-dep", view{Title: text("enrollment.dep.title"), Data: data})
}

func newDEPAccount(q *request) error { return depAccountForm(q, nil) }

func depAccountForm(q *request, p *problem) error {
	groups, err := q.groupNames(true)
	if err != nil {
		return err
	}
	return q.enrollment("enrollment-dep-new", view{Title: text("enrollment.dep.new"), Data: groups, Problem: p, Crumbs: depCrumbs("")})
}

func makeDEPAccount(q *request) error {
	body := map[string]any{"name": q.Typed("name"), "add_as_pre_enrolled": q.Typed("add_as_pre_enrolled") != "", "default": map[string]any{"group": q.Typed("group"), "profile": ""}}
	var made depAccount
	err := q.post("/dep/accounts", body, &made)
	if p := refusal(err); p != nil {
		return depAccountForm(q, p.place("name_invalid", "/name", "name_too_long", "/name", "name_characters", "/name", "dep_account_exists", "/name", "group_dynamic", "/default/group"))
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", made.Name), "enrollment.dep.made", made.Name)
}

func showDEPAccount(q *request) error { return depAccountPage(q, nil) }

// depAccountPage shows an account; a problem is that of one of its forms.
func depAccountPage(q *request, p *problem) error {
	var data struct {
		Account  depAccount
		Profiles []adeProfile
		Groups   []string
		Families []string
	}
	data.Families = families
	name := q.PathValue("account")
	if err := q.get(at("/dep/accounts/%s", name), nil, &data.Account); err != nil {
		return err
	}
	var profiles struct {
		Items []adeProfile `json:"items"`
	}
	if err := q.get(at("/dep/accounts/%s/profiles", name), nil, &profiles); err != nil {
		return err
	}
	data.Profiles = profiles.Items
	var err error
	if data.Groups, err = q.groupNames(true); err != nil {
		return err
	}
	for _, d := range data.Account.Families { // groups that will be made
		if d.Group != "" && !slices.Contains(data.Groups, d.Group) {
			data.Groups = append(data.Groups, d.Group)
		}
	}
	return q.enrollment("enrollment-dep-account", view{Title: text("enrollment.dep.account", name), Data: data, Problem: p, Crumbs: depCrumbs("")})
}

// depStatus is the part that shows how the synchronisation goes.
func depStatus(q *request) error {
	var a depAccount
	if err := q.get(at("/dep/accounts/%s", q.PathValue("account")), nil, &a); err != nil {
		return err
	}
	return q.part("enrollment-dep-sync", a)
}

func depCertificate(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: at("/dep/accounts/%s/certificate", q.PathValue("account"))}, "rollcall-dep.pem")
}

func uploadDEPToken(q *request) error {
	name := q.PathValue("account")
	file, err := q.File("token")
	if err != nil {
		return err
	}
	if len(file) == 0 {
		return depAccountPage(q, (&problem{Status: http.StatusUnprocessableEntity, Code: "token", Detail: text("enrollment.dep.token.none"), Hint: text("enrollment.dep.token.none.hint")}).place("token", "/token"))
	}
	var a depAccount
	c := call{Method: http.MethodPut, Path: at("/dep/accounts/%s/token", name), Raw: bytes.NewReader(file), ContentType: "application/pkcs7-mime"}
	if q.Typed("force") != "" {
		c.Query = query("force", "true")
	}
	err = q.do(c, &a)
	if p := refusal(err); p != nil {
		return depAccountPage(q, p.place("token_foreign", "/token", "token_expired", "/token", "token_malformed", "/token", "token_incomplete", "/token", "token_other_server", "/token", "dep_server_taken", "/token"))
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", name), "enrollment.dep.token.done", a.Token.DaysLeft)
}

func changeDEPAccount(q *request) error {
	name := q.PathValue("account")
	byFamily := map[string]any{}
	for _, f := range families {
		group, profile := q.Typed("group_"+f), q.Typed("profile_"+f)
		if group != "" || profile != "" {
			byFamily[f] = map[string]any{"group": group, "profile": profile}
		}
	}
	body := map[string]any{"name": q.Typed("name"), "add_as_pre_enrolled": q.Typed("add_as_pre_enrolled") != "", "families": byFamily,
		"default": map[string]any{"group": q.Typed("group"), "profile": q.Typed("profile")}}
	var changed depAccount
	err := q.patch(at("/dep/accounts/%s", name), body, &changed)
	if p := refusal(err); p != nil {
		return depAccountPage(q, p.place("name_invalid", "/name", "name_too_long", "/name", "name_characters", "/name", "dep_account_exists", "/name", "group_dynamic", "/default/group"))
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", changed.Name), "enrollment.dep.changed")
}

func syncDEPAccount(q *request) error {
	name := q.PathValue("account")
	err := q.post(at("/dep/accounts/%s/sync", name), map[string]any{"full": q.Typed("full") != ""}, nil)
	if p := refusal(err); p != nil {
		return depAccountPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", name), "enrollment.dep.sync.begun")
}

func depDevices(q *request) error {
	var data struct {
		Items []struct {
			Serial        string    `json:"serial"`
			Family        string    `json:"family"`
			OnRoll        bool      `json:"on_roll"`
			Profile       string    `json:"profile"`
			ProfileStatus string    `json:"profile_status"`
			Outcome       string    `json:"outcome"`
			Attempts      int       `json:"attempts"`
			RetryAt       time.Time `json:"retry_at"`
		} `json:"items"`
		NextCursor string `json:"next_cursor"`
		Account    string `json:"-"`
	}
	data.Account = q.PathValue("account")
	if err := q.get(at("/dep/accounts/%s/devices", data.Account), query("limit", pageSize, "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	return q.enrollment("enrollment-dep-devices", view{Title: text("enrollment.dep.devices"), Data: data, Crumbs: depCrumbs(data.Account)})
}

// findings are the differences between Apple's lists, the roll and what is enrolled.
var findings = []string{"not_on_roll", "not_in_dep", "not_assigned", "silent", "in_two_accounts"}

// depReport counts the findings, and lists those of one.
func depReport(q *request) error {
	data := struct {
		Finding, Account, Days string
		Findings, Accounts     []string
		Counts                 map[string]int
		Items                  []struct {
			Serial        string    `json:"serial"`
			Account       string    `json:"account"`
			Family        string    `json:"family"`
			State         string    `json:"state"`
			ProfileStatus string    `json:"profile_status"`
			Outcome       string    `json:"outcome"`
			Since         time.Time `json:"since"`
		} `json:"items"`
		NextCursor string `json:"next_cursor"`
	}{Finding: q.Param("finding"), Account: q.Param("account"), Days: cmp.Or(q.Param("silent_days"), "14"), Findings: findings}
	v := view{Title: text("enrollment.report.title"), Crumbs: depCrumbs("")}
	var accounts struct {
		Items []depAccount `json:"items"`
	}
	if err := q.get("/dep/accounts", nil, &accounts); err != nil {
		return err
	}
	for _, a := range accounts.Items {
		data.Accounts = append(data.Accounts, a.Name)
	}
	var counted struct {
		Counts map[string]int `json:"counts"`
	}
	err := q.get("/dep/report", query("account", data.Account, "silent_days", data.Days), &counted)
	if data.Counts = counted.Counts; err == nil && data.Finding != "" {
		err = q.get(at("/dep/report/%s", data.Finding), query("account", data.Account, "silent_days", data.Days, "limit", pageSize, "cursor", q.Param("cursor")), &data)
	}
	if v.Problem = refusal(err); v.Problem != nil {
		data.Finding = ""
	} else if err != nil {
		return err
	}
	v.Data = data
	return q.enrollment("enrollment-dep-report", v)
}

func askDisown(q *request) error { return disownPage(q, nil, nil) }

// disownPage asks to release devices for good, and shows what became of it.
func disownPage(q *request, p *problem, outcomes map[string]string) error {
	account := q.PathValue("account")
	return q.enrollment("enrollment-dep-disown", view{Title: text("enrollment.disown.title"), Problem: p, Crumbs: depCrumbs(account), Data: struct {
		Account  string
		Outcomes map[string]string
	}{account, outcomes}})
}

func disown(q *request) error {
	var done struct {
		Outcomes map[string]string `json:"outcomes"`
	}
	err := q.post(at("/dep/accounts/%s/disown", q.PathValue("account")), map[string]any{"serials": append([]string{}, words(q.Typed("serials"))...), "confirm": q.Typed("confirm")}, &done)
	if p := refusal(err); p != nil {
		return disownPage(q, p.place("dep_disown_unconfirmed", "/confirm", "dep_disown_number", "/serials"), nil)
	}
	if err != nil {
		return err
	}
	return disownPage(q, nil, done.Outcomes)
}

func showDiscovery(q *request) error { return discoveryPage(q, nil) }

func discoveryPage(q *request, p *problem) error {
	account := q.PathValue("account")
	data := struct {
		URL    string `json:"url"`
		Unread *problem
	}{}
	err := q.get(at("/dep/accounts/%s/discovery", account), nil, &data) // Apple is asked
	if data.Unread = refusal(err); data.Unread == nil && err != nil {
		return err
	}
	if data.Unread != nil && data.Unread.Status == http.StatusNotFound {
		return err
	}
	return q.enrollment("enrollment-dep-discovery", view{Title: text("enrollment.discovery.title"), Data: data, Problem: p, Crumbs: depCrumbs(account)})
}

func setDiscovery(q *request) error {
	account := q.PathValue("account")
	path := at("/dep/accounts/%s/discovery", account)
	if q.Typed("take_back") != "" {
		err := q.delete(path, nil, nil)
		if p := refusal(err); p != nil {
			return discoveryPage(q, p)
		}
		if err != nil {
			return err
		}
		return q.done(at("/enrollment/dep/accounts/%s", account), "enrollment.discovery.gone")
	}
	err := q.put(path, map[string]any{"url": q.Typed("url")}, nil)
	if p := refusal(err); p != nil {
		return discoveryPage(q, p.place("dep_mdm_service_discovery_url_not_valid", "/url"))
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", account), "enrollment.discovery.done")
}

func askDeleteDEPAccount(q *request) error { return deleteDEPPage(q, nil) }

func deleteDEPPage(q *request, p *problem) error {
	var a depAccount
	if err := q.get(at("/dep/accounts/%s", q.PathValue("account")), nil, &a); err != nil {
		return err
	}
	return q.enrollment("enrollment-dep-delete", view{Title: text("enrollment.dep.delete.title", a.Name), Data: a, Problem: p, Crumbs: depCrumbs(a.Name)})
}

// deleteDEPAccount needs the name typed: devices with its profiles cannot enroll
// with them any more.
func deleteDEPAccount(q *request) error {
	name := q.PathValue("account")
	if q.Typed("confirm") != name {
		return deleteDEPPage(q, unconfirmed(name))
	}
	err := q.delete(at("/dep/accounts/%s", name), nil, nil)
	if p := refusal(err); p != nil {
		return deleteDEPPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/enrollment/dep", "enrollment.dep.deleted", name)
}

// unconfirmed refuses what was to be confirmed by typing some words.
func unconfirmed(words string) *problem {
	return (&problem{Status: http.StatusUnprocessableEntity, Code: "confirm", Detail: text("enrollment.confirm.wrong"), Hint: text("enrollment.confirm.hint", words)}).place("confirm", "/confirm")
}
