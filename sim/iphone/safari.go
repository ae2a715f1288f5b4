package iphone

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Choice is what the person holding the phone answers on web pages.
type Choice struct {
	// Ownership answers a field named "ownership" (personal, corporate);
	// empty leaves what the page has chosen.
	Ownership string
	// Fields answers other fields by name.
	Fields map[string]string
}

const maxPages = 10

// OpenLink is a person opening a link in Safari, answering the pages that
// come, and installing the profile at the end. Pages are read for LastPage;
// the first form of a page is filled and sent, otherwise its meta refresh or
// its first link that leads to a profile is followed. A page with neither, or
// with an error status, is a *RefusedError. Scripts do not run.
func (p *Phone) OpenLink(ctx context.Context, link string, choice Choice) error {
	profiles, err := p.browse(ctx, link, nil, choice, nil)
	if err != nil {
		return err
	}
	for _, profile := range profiles {
		if err := p.Install(ctx, profile); err != nil {
			return err
		}
	}
	return nil
}

// visit is one navigation.
type visit struct {
	method, url string
	form        url.Values
	from        *url.URL // page that led here; nil for the address bar
	header      http.Header
}

// browse goes from page to page until profiles are downloaded or, where login
// is not nil, the page leads back to the device with a result, which is put there.
func (p *Phone) browse(ctx context.Context, link string, header http.Header, choice Choice, login *url.URL) ([][]byte, error) {
	next := visit{method: http.MethodGet, url: link, header: header}
	sent := map[string]int{}
	for range maxPages {
		resp, body, err := p.navigate(ctx, next)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK && contentType(resp) == typeProfile {
			return [][]byte{body}, nil
		}
		if to, err := resp.Location(); err == nil && to.Scheme == loginScheme {
			if login == nil || resp.StatusCode != http.StatusPermanentRedirect {
				return nil, protocolError("Safari", "status %d to %s", resp.StatusCode, to.Scheme)
			}
			*login = *to
			return nil, nil
		}
		here := resp.Request.URL
		if contentType(resp) != "text/html" {
			err := refused(resp, body)
			p.change(func() { p.page = err.Text })
			return nil, err
		}
		page, err := parsePage(body)
		if err != nil {
			return nil, err
		}
		p.change(func() { p.page = page.text })
		if resp.StatusCode >= 400 {
			return nil, refused(resp, body)
		}
		switch {
		case page.form != nil && !(len(sent) > 0 && page.offersProfile()):
			values, err := page.form.fill(choice)
			if err != nil {
				return nil, err
			}
			target, err := here.Parse(page.form.action)
			if err != nil {
				return nil, fmt.Errorf("iphone: form action: %w", err)
			}
			next = visit{method: page.form.method, url: target.String(), form: values, from: here}
			// The same form with the same answers again: the page did not like them.
			key := next.method + " " + next.url + " " + values.Encode()
			if sent[key]++; sent[key] > 1 {
				return nil, refused(resp, body)
			}
		case page.refresh != "":
			target, err := here.Parse(page.refresh)
			if err != nil {
				return nil, fmt.Errorf("iphone: refresh: %w", err)
			}
			next = visit{method: http.MethodGet, url: target.String(), from: here}
		default:
			profiles, err := p.followLinks(ctx, here, page.links)
			if err != nil {
				return nil, err
			}
			if len(profiles) == 0 {
				return nil, refused(resp, body)
			}
			return profiles, nil
		}
	}
	return nil, protocolError("Safari", "no profile after %d pages from %s", maxPages, link)
}

// followLinks taps the links of a page that lead to profiles: those that say
// so, or else, if none of them does, any on the same host.
func (p *Phone) followLinks(ctx context.Context, here *url.URL, links []link) (profiles [][]byte, err error) {
	var visited []string
	for _, promising := range []bool{true, false} {
		for _, l := range links {
			u, err := here.Parse(l.href)
			if err != nil || l.promising != promising || u.Host != here.Host || u.Scheme != here.Scheme ||
				strings.HasPrefix(l.href, "#") || slices.Contains(visited, u.String()) || len(visited) == maxPages {
				continue
			}
			visited = append(visited, u.String())
			resp, body, err := p.navigate(ctx, visit{method: http.MethodGet, url: u.String(), from: here})
			if err != nil {
				return nil, err
			}
			if contentType(resp) == typeProfile {
				if resp.StatusCode != http.StatusOK {
					return nil, refused(resp, body)
				}
				profiles = append(profiles, body)
			}
		}
		if len(profiles) > 0 {
			break
		}
	}
	return profiles, nil
}

// navigate loads a page with the headers Safari sends.
func (p *Phone) navigate(ctx context.Context, v visit) (*http.Response, []byte, error) {
	header := http.Header{
		"User-Agent":      {safariAgent},
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Language": {"en-US,en;q=0.9"},
		"Sec-Fetch-Dest":  {"document"},
		"Sec-Fetch-Mode":  {"navigate"},
		"Sec-Fetch-Site":  {"none"},
	}
	maps.Copy(header, v.header)
	target, body := v.url, []byte(nil)
	if v.form != nil && v.method == http.MethodPost {
		body = []byte(v.form.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if v.form != nil {
		u, err := url.Parse(v.url)
		if err != nil {
			return nil, nil, fmt.Errorf("iphone: %w", err)
		}
		u.RawQuery = v.form.Encode()
		target = u.String()
	}
	if v.from != nil {
		site := "cross-site"
		if u, err := url.Parse(v.url); err == nil && u.Host == v.from.Host && u.Scheme == v.from.Scheme {
			site = "same-origin"
		}
		header.Set("Sec-Fetch-Site", site)
		header.Set("Referer", v.from.Scheme+"://"+v.from.Host+v.from.Path)
		if v.method == http.MethodPost {
			header.Set("Origin", v.from.Scheme+"://"+v.from.Host)
		}
	}
	return send(ctx, p.browser, v.method, target, header, body)
}
