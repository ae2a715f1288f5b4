package amapi

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"
)

const (
	tokenDefault  = time.Hour
	tokenShortest = time.Minute
	// tokenLongest is about as far as Google's 10,000 years that Go can count.
	tokenLongest = time.Duration(1<<63 - 1)
	dataLimit    = 1024
	personal     = "PERSONAL_USAGE_ALLOWED"
	corporate    = "PERSONAL_USAGE_DISALLOWED"
	userless     = "PERSONAL_USAGE_DISALLOWED_USERLESS"
)

// enrollmentToken is one that a client made.
type enrollmentToken struct {
	id, value string
	usage     string // allowPersonalUsage; "": not said
	policy    string // full name
	data      string
	oneTime   bool
	account   string // requiredAccountEmail
	signIn    bool   // a Google account is required
	expires   time.Time
	dead      bool // deleted or used up
}

func newTokenValue() string { return rand.Text()[:20] }

func (t *enrollmentToken) alive(now time.Time) bool { return !t.dead && now.Before(t.expires) }

func (c *Cloud) createToken(e *enterprise, q *call) (any, *refusal) {
	t := &enrollmentToken{
		id: rand.Text(), value: newTokenValue(), usage: text(q.body, "allowPersonalUsage"), data: text(q.body, "additionalData"), oneTime: flag(q.body, "oneTimeOnly"),
		account: text(q.body, "googleAuthenticationOptions.requiredAccountEmail"),
		signIn:  text(q.body, "googleAuthenticationOptions.authenticationRequirement") == "REQUIRED",
	}
	for _, name := range []string{"name", "value", "qrCode", "expirationTimestamp"} {
		if _, sent := q.body[name]; sent {
			c.warn("enterprises.enrollmentTokens.create", name+" is the server's")
		}
	}
	lifetime := tokenDefault
	if sent := text(q.body, "duration"); sent != "" {
		var ok bool
		if lifetime, ok = seconds(sent); !ok || lifetime < tokenShortest {
			return nil, invalid("The duration of an enrollment token must be between 1 minute and 10,000 years.")
		}
	}
	switch {
	case len([]rune(t.data)) > dataLimit:
		return nil, invalid("additionalData must be 1024 characters or less.")
	case t.usage == "ALLOW_PERSONAL_USAGE_UNSPECIFIED":
		return nil, invalid("allowPersonalUsage must not be ALLOW_PERSONAL_USAGE_UNSPECIFIED.")
	case t.account != "" && !t.signIn:
		return nil, invalid("requiredAccountEmail needs authenticationRequirement REQUIRED.")
	}
	var bad *refusal
	if t.policy, bad = e.policyName(text(q.body, "policyName"), "default"); bad != nil {
		return nil, bad
	}
	t.expires = c.now().AddDate(10_000, 0, 0)
	if lifetime < tokenLongest {
		t.expires = c.now().Add(lifetime)
	}
	e.tokens = append(e.tokens, t)
	e.values[t.value] = t
	out := clone(q.body)
	for name, value := range t.partial(e) {
		out[name] = value
	}
	out["policyName"] = t.policy
	return out, nil
}

// policyName reads a policy's name, which may be its bare id.
func (e *enterprise) policyName(sent, standard string) (string, *refusal) {
	prefix := e.name() + "/policies/"
	if sent == "" {
		sent = standard
	}
	id, full := strings.CutPrefix(sent, prefix)
	if !full && strings.Contains(sent, "/") || id == "" || strings.Contains(id, "/") {
		return "", invalid("policyName %q is not a policy of %s.", sent, e.name())
	}
	return prefix + id, nil
}

// partial is what get and list show of a token.
func (t *enrollmentToken) partial(e *enterprise) object {
	out := object{"name": e.name() + "/enrollmentTokens/" + t.id, "value": t.value, "qrCode": qrCode(t.value), "expirationTimestamp": t.expires.UTC().Format(time.RFC3339)}
	if t.expires.Year() > 9999 {
		out["expirationTimestamp"] = "9999-12-31T23:59:59Z"
	}
	if t.usage != "" {
		out["allowPersonalUsage"] = t.usage
	}
	return out
}

func (c *Cloud) token(e *enterprise, id string) *enrollmentToken {
	i := slices.IndexFunc(e.tokens, func(t *enrollmentToken) bool { return t.id == id && t.alive(c.now()) })
	if i < 0 {
		return nil
	}
	return e.tokens[i]
}

func (c *Cloud) getToken(e *enterprise, q *call) (any, *refusal) {
	t := c.token(e, q.ids[1])
	if t == nil {
		return nil, missing()
	}
	return t.partial(e), nil
}

func (c *Cloud) listTokens(e *enterprise, q *call) (any, *refusal) {
	var alive []object
	for _, t := range e.tokens {
		if t.alive(c.now()) {
			alive = append(alive, t.partial(e))
		}
	}
	items, next, bad := page(q, alive, 10, 100)
	return listed("enrollmentTokens", items, next), bad
}

func (c *Cloud) deleteToken(e *enterprise, q *call) (any, *refusal) {
	t := c.token(e, q.ids[1])
	if t == nil {
		return nil, missing()
	}
	t.dead = true
	return object{}, nil
}
