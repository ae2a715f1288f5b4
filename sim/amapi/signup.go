package amapi

import (
	"net/http"
	"net/url"
	"strings"
)

const signupPath = "/signup/"

// signup is the way of an IT admin through Google's pages.
type signup struct {
	name     string // signupUrls/...
	callback *url.URL
	token    string // enterpriseToken, once the admin went through
	used     bool
}

func (c *Cloud) createSignup(q *call) (any, *refusal) {
	if q.query.Get("projectId") != c.options.Project {
		return nil, denied("The caller does not have permission on the project.", "")
	}
	callback, err := url.Parse(q.query.Get("callbackUrl"))
	if err != nil || callback.Scheme != "https" && callback.Scheme != "http" || callback.Host == "" {
		return nil, invalid("callbackUrl is not an absolute URL.")
	}
	for _, domain := range q.query["allowedDomains"] {
		if strings.Contains(domain, "@") || !strings.Contains(domain, ".") {
			return nil, invalid("allowedDomains: %q is no domain.", domain)
		}
	}
	s := &signup{name: "signupUrls/C" + random(8), callback: callback}
	c.signups[s.name] = s
	return object{"name": s.name, "url": c.url + signupPath + strings.TrimPrefix(s.name, "signupUrls/")}, nil
}

// serveSignup is the admin's browser on Google's page: the admin agrees to
// everything, and is sent back with the enterprise token.
func (c *Cloud) serveSignup(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.signups["signupUrls/"+strings.TrimPrefix(r.URL.Path, signupPath)]
	if s == nil || s.used {
		http.NotFound(w, r)
		return
	}
	if s.token == "" {
		s.token = "EAH" + random(24)
	}
	back := *s.callback
	query := back.Query()
	query.Set("enterpriseToken", s.token)
	back.RawQuery = query.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (c *Cloud) createEnterprise(q *call) (any, *refusal) {
	s := c.signups[q.query.Get("signupUrlName")]
	switch {
	case q.query.Get("projectId") != c.options.Project:
		return nil, denied("The caller does not have permission on the project.", "")
	case s == nil || s.token == "" || s.token != q.query.Get("enterpriseToken"):
		return nil, invalid("The enterprise token or the sign-up URL is not valid.")
	case s.used:
		return nil, invalid("The enterprise token has already been used.")
	}
	e := newEnterprise(c)
	if bad := e.write(c, q.body, ""); bad != nil {
		return nil, bad
	}
	s.used = true
	c.enterprises[e.id] = e
	return e.render(), nil
}
