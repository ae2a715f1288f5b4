package dep

import (
	"net/http"
	"time"
)

const sessionHeader = "X-Adm-Auth-Session"

// session is an X-ADM-Auth-Session. An account has one at a time.
type session struct {
	token   string
	account *Account
	until   time.Time
	answers int
}

// begin starts a session, which ends the one before it.
func (c *Cloud) begin(a *Account) *session {
	a.endSession()
	s := &session{token: random(40), account: a, until: c.now().Add(c.options.SessionLifetime)}
	a.session, c.sessions[s.token] = s, s
	return s
}

func (a *Account) endSession() {
	if a.session != nil {
		delete(a.cloud.sessions, a.session.token)
		a.session = nil
	}
}

// authenticate finds the account of a request's session.
func (c *Cloud) authenticate(r *http.Request) (*session, *refusal) {
	s := c.sessions[r.Header.Get(sessionHeader)]
	if s != nil && c.now().Before(s.until) {
		return s, nil
	}
	if s != nil {
		s.account.endSession()
	}
	if c.options.ForbidExpired {
		return nil, &refusal{http.StatusForbidden, "FORBIDDEN"}
	}
	return nil, &refusal{http.StatusUnauthorized, "UNAUTHORIZED"}
}

// rotate counts an answer and returns the session that goes on: a new one now
// and then.
func (c *Cloud) rotate(s *session) *session {
	s.answers++
	if c.options.RotateEvery < 0 || s.answers < c.options.RotateEvery {
		return s
	}
	return c.begin(s.account)
}
