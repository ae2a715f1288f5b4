package console

import (
	"cmp"
	"html/template"
	"net/http"
	"time"
)

var requestPages = []route{
	get("/enrollment/requests", listRequests),
	get("/enrollment/requests.csv", exportRequests),
	get("/enrollment/requests/new", only("create-requests", newRequests)),
	post("/enrollment/requests/new", sendRequests),
	get("/enrollment/requests/{id}", showRequest),
	post("/enrollment/requests/{id}/resend", resendRequest),
	post("/enrollment/requests/{id}/code", makeRequestCode),
	get("/enrollment/requests/{id}/cancel", only("cancel-request", askCancelRequest)),
	post("/enrollment/requests/{id}/cancel", cancelRequest),
}

// invitation is an enrollment request. The link is there once, when it was made.
type invitation struct {
	ID         string    `json:"id"`
	Serial     string    `json:"serial"`
	Via        string    `json:"via"`
	State      string    `json:"state"`
	Problem    string    `json:"problem"`
	Ownership  string    `json:"ownership"`
	CreatedBy  string    `json:"created_by"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	OpenedAt   time.Time `json:"opened_at"`
	AcceptedAt time.Time `json:"accepted_at"`
	RemindedAt time.Time `json:"reminded_at"`
	ClosedAt   time.Time `json:"closed_at"`
	Link       string    `json:"link"`
	Code       string    `json:"code"`
}

// Open says whether its links still work.
func (i invitation) Open() bool { return i.ClosedAt.IsZero() }

// requestStates are the states in the order in which a request goes through them.
var requestStates = []string{"queued", "sent", "bounced", "opened", "accepted", "completed", "expired", "cancelled"}

var requestFilters = []string{"state", "serial"}

func listRequests(q *request) error {
	var data struct {
		Items      []invitation `json:"items"`
		NextCursor string       `json:"next_cursor"`
		States     []string     `json:"-"`
		Export     string       `json:"-"`
	}
	data.States, data.Export = requestStates, Prefix+"/enrollment/requests.csv?"+q.filtersOf(requestFilters).Encode()
	filters := q.filtersOf(append([]string{"cursor"}, requestFilters...))
	filters.Set("limit", pageSize)
	v := view{Title: text("enrollment.requests.title")}
	err := q.get("/requests", filters, &data)
	if v.Problem = refusal(err); v.Problem == nil && err != nil {
		return err
	}
	v.Data = data
	return q.enrollment("enrollment-requests", v)
}

func exportRequests(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: "/requests", Query: q.filtersOf(requestFilters), Accept: "text/csv"}, "requests.csv")
}

func newRequests(q *request) error { return requestForm(q, nil) }

func requestForm(q *request, p *problem) error {
	data := struct {
		Serials, Group string
		Groups         []string
	}{Serials: q.Param("serials"), Group: q.Param("group")}
	var err error
	if data.Groups, err = q.groupNames(false); err != nil {
		return err
	}
	return q.enrollment("enrollment-requests-new", view{Title: text("enrollment.requests.new"), Data: data, Problem: p,
		Crumbs: []crumb{{"/enrollment/requests", text("enrollment.requests.title")}}})
}

// sendRequests shows the links at once where they are handed over by hand: they
// cannot be read again. Sending the form twice shows the same ones.
func sendRequests(q *request) error {
	body := given(map[string]any{"via": q.Typed("via"), "group": q.Typed("group")})
	if serials := words(q.Typed("serials")); len(serials) > 0 {
		body["serials"] = serials
	}
	var sent struct {
		Items []invitation `json:"items"`
	}
	err := q.post("/requests", body, &sent)
	if p := refusal(err); p != nil {
		return requestForm(q, p.place("recipients_missing", "/serials", "serials_count", "/serials", "device_unknown", "/serials", "device_enrolled", "/serials", "device_blocked", "/serials",
			"mail_not_configured", "/via", "sms_not_configured", "/via", "user_missing", "/via", "mobile_missing", "/via", "email_missing", "/via", "group_too_large", "/group", "group_done", "/group", "group_unknown", "/group"))
	}
	if err != nil {
		return err
	}
	if q.Typed("via") != "link" {
		return q.done("/enrollment/requests", "enrollment.requests.queued", len(sent.Items))
	}
	return q.linkSheet(sent.Items)
}

// maxCodes is how many QR codes one sheet has; the links of all stand below.
const maxCodes = 500

// sheetCard is one part of the sheet that is printed and cut.
type sheetCard struct {
	invitation
	QR template.HTML
}

// linkSheet shows links that cannot be read again, each with its code.
func (q *request) linkSheet(sent []invitation) error {
	data := struct {
		Cards []sheetCard
		More  []invitation // without a code
	}{}
	for i, r := range sent {
		if i >= maxCodes {
			data.More = sent[i:]
			break
		}
		code, err := qrCode(r.Link)
		if err != nil {
			return err
		}
		data.Cards = append(data.Cards, sheetCard{r, code})
	}
	return q.enrollment("enrollment-requests-sheet", view{Title: text("enrollment.sheet.title", len(sent)), Data: data,
		Crumbs: []crumb{{"/enrollment/requests", text("enrollment.requests.title")}}})
}

// message is an attempt to reach the user.
type message struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Via        string    `json:"via"`
	CreatedAt  time.Time `json:"created_at"`
	Attempts   int       `json:"attempts"`
	DueAt      time.Time `json:"due_at"`
	SentAt     time.Time `json:"sent_at"`
	FinishedAt time.Time `json:"finished_at"`
	Error      string    `json:"error"`
}

func showRequest(q *request) error { return requestPage(q, q.PathValue("id"), "", nil) }

// requestPage shows a request, and once the code that was made for it.
func requestPage(q *request, id, code string, p *problem) error {
	var data struct {
		Request  invitation
		Messages struct {
			Items []message `json:"items"`
		}
		Code string
	}
	data.Code = code
	if err := q.get(at("/requests/%s", id), nil, &data.Request); err != nil {
		return err
	}
	if err := q.get(at("/requests/%s/messages", id), nil, &data.Messages); err != nil {
		return err
	}
	return q.enrollment("enrollment-request", view{Title: text("enrollment.request.title", data.Request.Serial), Data: data, Problem: p,
		Crumbs: []crumb{{"/enrollment/requests", text("enrollment.requests.title")}}})
}

func resendRequest(q *request) error {
	id := q.PathValue("id")
	var sent invitation
	err := q.post(at("/requests/%s/resend", id), given(map[string]any{"via": q.Typed("via")}), &sent)
	if p := refusal(err); p != nil {
		return requestPage(q, id, "", p.place("mail_not_configured", "/via", "sms_not_configured", "/via", "user_missing", "/via", "mobile_missing", "/via", "email_missing", "/via"))
	}
	if err != nil {
		return err
	}
	if sent.Link != "" {
		return q.linkSheet([]invitation{sent})
	}
	return q.done(at("/enrollment/requests/%s", id), "enrollment.request.resent", label("enrollment.via", cmp.Or(q.Typed("via"), sent.Via)))
}

func makeRequestCode(q *request) error {
	id := q.PathValue("id")
	var made invitation
	err := q.post(at("/requests/%s/code", id), nil, &made)
	if p := refusal(err); p != nil {
		return requestPage(q, id, "", p)
	}
	if err != nil {
		return err
	}
	return requestPage(q, id, made.Code, nil)
}

func askCancelRequest(q *request) error { return cancelRequestPage(q, nil) }

func cancelRequestPage(q *request, p *problem) error {
	var r invitation
	if err := q.get(at("/requests/%s", q.PathValue("id")), nil, &r); err != nil {
		return err
	}
	return q.enrollment("enrollment-request-cancel", view{Title: text("enrollment.request.cancel.title", r.Serial), Data: r, Problem: p,
		Crumbs: []crumb{{"/enrollment/requests", text("enrollment.requests.title")}}})
}

func cancelRequest(q *request) error {
	err := q.post(at("/requests/%s/cancel", q.PathValue("id")), nil, nil)
	if p := refusal(err); p != nil {
		return cancelRequestPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/requests/%s", q.PathValue("id")), "enrollment.request.cancelled")
}
