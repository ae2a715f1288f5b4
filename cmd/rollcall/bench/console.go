package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"rollcall/cmd/rollcall/stage"
)

// consolePages are the pages of the console, below /console. What stands in
// braces is a name of furnishings; pages without such names that a page has as
// a tab or an area are looked at as well.
var consolePages = []string{
	"/", "/?days=90",
	"/devices", "/devices?state=enrolled", "/devices?state=pre_enrolled", "/devices?state=expired", "/devices?platform=android", "/devices?ownership=personal",
	"/devices?source=dep", "/devices?group={group}", "/devices?group={half}", "/devices?tag={tag}", "/devices?model=iPhone+7", "/devices?user={owner}", "/devices?domain=local",
	"/devices?state=enrolled&platform=ios", "/devices?group={half}&state=enrolled", "/devices?platform=ios&sort=last_seen_at&order=desc",
	"/devices?sort=name", "/devices?sort=name&order=desc", "/devices?sort=updated_at&order=desc", "/devices?sort=enrolled_at&order=desc", "/devices?sort=last_seen_at&order=desc",
	"/devices?cursor={deep}", "/devices?q=C0", "/devices?q=device+0", "/devices?q=owner-0000", "/devices?q=490", "/devices?q=inv-0", "/devices?q=zzz",
	"/search?q={serial}", "/search?q=owner+0", "/devices/new",
	"/devices/{serial}", "/devices/{serial}/policies", "/devices/{serial}/timeline", "/devices/{serial}/enrollment", "/devices/{serial}/edit", "/devices/{serial}/remove", "/devices/{enrolled}",
	"/gate", "/gate?outcome=deny", "/gate?outcome=allow", "/gate?code=deny.not_pre_enrolled", "/gate?channel=ota", "/gate?evidence=signed", "/gate?serial={serial}", "/gate?near_miss=true",
	"/gate?within=24h", "/gate?outcome=deny&channel=ota", "/gate?cursor={past}", "/gate/tail?after={decision}", "/gate/tail", "/gate/{decision}",
	"/imports", "/imports/new", "/import-presets",
	"/imports/{import}", "/imports/{import}/map", "/imports/{import}/review", "/imports/{import}/review?action=new", "/imports/{import}/review?action=changed", "/imports/{import}/review?action=error",
	"/imports/{import}/rows/2", "/imports/{import}/send", "/imports/{import}/preview?line=3&via=email", "/imports/{import}/progress", "/imports/{applied}", "/imports/{applied}/revert",
	"/enrollment/restrictions", "/enrollment/restrictions/change", "/enrollment/restrictions/forecast", "/enrollment/restrictions/new-rule", "/enrollment/restrictions/test?serial={serial}",
	"/enrollment/restrictions/rules/{rule}", "/enrollment/restrictions/rules/{rule}/delete",
	"/enrollment/requests", "/enrollment/requests?state=sent", "/enrollment/requests?state=accepted", "/enrollment/requests?serial={serial}", "/enrollment/requests/new",
	"/enrollment/requests/{request}", "/enrollment/requests/{request}/cancel",
	"/enrollment/approvals", "/enrollment/approvals?state=pending", "/enrollment/approvals?state=rejected", "/enrollment/approvals/{held}",
	"/enrollment/tokens", "/enrollment/tokens/new", "/enrollment/tokens/{token}/revoke",
	"/enrollment/dep", "/enrollment/dep/new", "/enrollment/dep/report", "/enrollment/dep/accounts/{account}", "/enrollment/dep/accounts/{account}/status", "/enrollment/dep/accounts/{account}/devices",
	"/enrollment/dep/accounts/{account}/discovery", "/enrollment/dep/accounts/{account}/delete", "/enrollment/dep/accounts/{account}/new-profile",
	"/enrollment/dep/accounts/{account}/profiles/{profile}", "/enrollment/dep/accounts/{account}/profiles/{profile}/delete",
	"/enrollment/google", "/enrollment/zero-touch",
	"/groups", "/group-new", "/groups/{half}", "/groups/{half}/rule", "/groups/{half}/delete", "/groups/{group}",
	"/policies", "/policy-new", "/policies/{policy}", "/policies/{policy}/warnings", "/policies/{policy}/receipts", "/policies/{policy}/versions", "/policies/{policy}/versions/1",
	"/policies/{policy}/compare?from=1&to=2", "/policies/{policy}/edit", "/policies/{policy}/delete", "/policy-preview", "/policy-preview?serial={serial}",
	"/settings/users", "/settings/users?q=owner-0000", "/settings/users?email=owner-0000", "/settings/users/new", "/settings/users/{owner}", "/settings/users/{owner}/delete",
	"/settings/administrators", "/settings/administrators/new",
	"/account", "/account/second-factor",
}

// visit is what looking at one page again and again gave.
type visit struct {
	Page            string
	Median, Slowest float64       // milliseconds
	Server          time.Duration // CPU time of the server and of PostgreSQL, each time
	KiB             float64       // of a first load: the page, its styles, scripts and pictures
}

// browser is somebody who is signed in to the console.
type browser struct {
	site   *site
	client *http.Client
	cookie string
	files  map[string]int // bytes of what pages bring along
}

// consoles measures every page of the console on a full roll.
func (s *site) consoles(ctx context.Context) error {
	started := time.Now()
	names, err := s.furnish(ctx)
	if err != nil {
		return fmt.Errorf("furnish: %w", err)
	}
	fmt.Fprintf(s.progress, "%-9s %-12s %5.1f s\n", s.engine.name, "furnished", time.Since(started).Seconds())
	b, err := s.signIn(ctx)
	if err != nil {
		return err
	}
	defer b.client.CloseIdleConnections()
	return s.runs(partConsole, func() (map[figure]float64, cost, error) {
		var visits []visit
		c, err := s.timed(func() (n int, err error) {
			visits, err = b.visitAll(ctx, names)
			return len(visits) * (s.scale.Visits + 1), err
		})
		if err != nil {
			return nil, c, err
		}
		slices.SortStableFunc(visits, func(a, b visit) int { return int(1000 * (b.Median - a.Median)) })
		s.result.Visits = visits
		slowest := visits[0]
		s.result.Slowest[consoleSlowest] = slowest.Page
		heaviest := slices.MaxFunc(visits, func(a, b visit) int { return int(1000 * (a.KiB - b.KiB)) })
		s.result.Slowest[consoleHeaviest] = heaviest.Page
		worst := slices.MaxFunc(visits, func(a, b visit) int { return int(1000 * (a.Slowest - b.Slowest)) })
		s.result.Slowest[consoleWorst] = worst.Page
		return map[figure]float64{consoleSlowest: slowest.Median, consoleWorst: worst.Slowest, consoleHeaviest: heaviest.KiB}, c, nil
	})
}

// signIn makes the first administrator, as who opens a new server's console.
func (s *site) signIn(ctx context.Context) (*browser, error) {
	b := &browser{site: s, client: stage.NewClient(s.Roots), files: map[string]int{}}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const password = "a long enough password of nobody"
	form := url.Values{"code": {s.server.setUpCode}, "name": {"Bench"}, "email": {"bench@example.com"}, "password": {password}, "again": {password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/console/set-up", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return nil, err
	}
	for _, c := range res.Cookies() {
		if c.MaxAge >= 0 {
			b.cookie = strings.TrimPrefix(b.cookie+"; "+c.Name+"="+c.Value, "; ")
		}
	}
	if err := res.Body.Close(); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusSeeOther || b.cookie == "" {
		return nil, fmt.Errorf("bench: the set-up of the console was answered %d", res.StatusCode)
	}
	return b, nil
}

// open reads one page or file.
func (b *browser) open(ctx context.Context, path string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.site.URL()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Cookie", b.cookie)
	req.Header.Set("Accept-Encoding", "gzip") // set here, the answer stays as long as it came
	res, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	body, err = io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if to := res.Header.Get("Location"); res.StatusCode >= http.StatusBadRequest || strings.HasPrefix(to, "/console/sign-in") {
		return nil, fmt.Errorf("bench: %s was answered %d", path, res.StatusCode)
	}
	return body, nil
}

var (
	navigation = regexp.MustCompile(`(?s)<nav class="(?:areas|tabs)".*?</nav>`)
	pageLink   = regexp.MustCompile(`href="/console(/[a-z/-]*)"`)
	pageFile   = regexp.MustCompile(`(?:href|src)="(/console/static/[^"]+)"`)
)

// visitAll looks at all pages.
func (b *browser) visitAll(ctx context.Context, names map[string]string) (all []visit, err error) {
	pages, known := slices.Clone(consolePages), map[string]bool{"/settings": true, "/enrollment": true} // these two lead to others
	for _, page := range pages {
		known[page] = true
	}
	var failed error
	for len(pages) > 0 {
		page := pages[0]
		pages = pages[1:]
		v, body, err := b.visit(ctx, page, names)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		all = append(all, v)
		for _, nav := range navigation.FindAll(body, -1) {
			for _, link := range pageLink.FindAllSubmatch(nav, -1) {
				if path := string(link[1]); !known[path] && !strings.Contains(page, "{") {
					known[path] = true
					pages = append(pages, path)
				}
			}
		}
	}
	return all, failed
}

// longPage ends the visits of a page that takes too long for all of them.
const longPage = 4 * time.Second

// visit looks at a page until it is warm, and then as often as the scale says.
func (b *browser) visit(ctx context.Context, page string, names map[string]string) (v visit, body []byte, err error) {
	path := "/console" + page
	for name, value := range names {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if body, err = b.open(ctx, path); err != nil {
		return v, nil, err
	}
	var took []time.Duration
	before, started := cpuOf(b.site.server.pid(), b.site.db.postmaster), time.Now()
	for range b.site.scale.Visits {
		start := time.Now()
		if _, err := b.open(ctx, path); err != nil {
			return v, nil, err
		}
		took = append(took, time.Since(start))
		if time.Since(started) > longPage {
			break
		}
	}
	used := cpuOf(b.site.server.pid(), b.site.db.postmaster).minus(before)
	slices.Sort(took)
	bytes := len(body)
	for _, file := range pageFile.FindAllSubmatch(body, -1) {
		name := string(file[1])
		if b.files[name] == 0 {
			content, err := b.open(ctx, name)
			if err != nil {
				return v, nil, err
			}
			b.files[name] = len(content)
		}
	}
	for name, n := range b.files {
		if strings.Contains(string(body), `"`+name+`"`) {
			bytes += n
		}
	}
	return visit{Page: page, Median: quantile(took, 0.5), Slowest: quantile(took, 1), Server: (used.Server + used.Postgres) / time.Duration(len(took)), KiB: float64(bytes) / (1 << 10)}, body, nil
}
