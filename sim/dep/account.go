package dep

import (
	"fmt"
	"strings"
	"time"
)

// Account is a device management service of the organization: what a server
// token belongs to.
type Account struct {
	cloud      *Cloud
	name, uuid string
	key        credential // consumer key: the account's for life
	token      credential // access token: of the last token file
	expiry     time.Time

	// All below is guarded by cloud.mu.
	session   *session
	members   []*device // in the order of assignment; nil where one left
	changes   []change
	profiles  map[string]*profile
	statuses  map[string]*outcome // injected, by serial
	throttles map[string]time.Time
	discovery string // mdm_service_discovery_url
	epoch     int    // raised by ExpireCursors

	unsigned bool // terms and conditions
	denied   bool
	betaOff  bool
}

type credential struct{ id, secret string }

// AddAccount makes an account. Names are unique.
func (c *Cloud) AddAccount(name string) (*Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" || c.account(name) != nil {
		return nil, fmt.Errorf("dep: an account needs a name of its own, not %q", name)
	}
	a := &Account{
		cloud: c, name: name, uuid: strings.ToUpper(random(16)),
		key:      credential{"CK_" + random(24), "CS_" + random(20)},
		profiles: map[string]*profile{}, statuses: map[string]*outcome{}, throttles: map[string]time.Time{},
	}
	a.renew()
	c.accounts = append(c.accounts, a)
	return a, nil
}

// renew makes a new access token, which ends the old one.
func (a *Account) renew() {
	a.token = credential{"AT_" + random(32), "AS_" + random(20)}
	a.expiry = a.cloud.now().AddDate(1, 0, 0)
	a.endSession()
}

// Name is the name in the portal, server_name in the answer of GET /account.
func (a *Account) Name() string { return a.name }

// UUID is server_uuid in the answer of GET /account.
func (a *Account) UUID() string { return a.uuid }

// Serials returns the devices of the account in the order of assignment.
func (a *Account) Serials() []string {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	var out []string
	for _, d := range a.members {
		if d != nil {
			out = append(out, d.Serial)
		}
	}
	return out
}

// SignTerms says whether the organization has agreed to Apple's terms, as it
// has at first. Until it does every call is answered with 403 T_C_NOT_SIGNED.
func (a *Account) SignTerms(signed bool) { a.set(func() { a.unsigned = !signed }) }

// Deny answers every call with 403 ACCESS_DENIED, or ends that.
func (a *Account) Deny(denied bool) { a.set(func() { a.denied = denied }) }

// AllowBeta says whether GET /os-beta-enrollment/tokens lists programs, as it
// does at first, or answers 403 APPLE_SEED_FOR_IT_TURNED_OFF.
func (a *Account) AllowBeta(allowed bool) { a.set(func() { a.betaOff = !allowed }) }

// ExpireSession ends the session, as time or Apple's restarts do.
func (a *Account) ExpireSession() { a.set(a.endSession) }

// ExpireToken lets the server token expire now.
func (a *Account) ExpireToken() {
	a.set(func() { a.expiry = a.cloud.now(); a.endSession() })
}

// ExpireCursors makes every cursor handed out so far as old as if a week had
// gone by.
func (a *Account) ExpireCursors() { a.set(func() { a.epoch++ }) }

// FailDevices answers the next n assignments (and removals) of each serial
// with a status: NotAccessible, Failed, Throttled, or Omitted.
func (a *Account) FailDevices(n int, status Status, serials ...string) {
	a.set(func() {
		for _, s := range serials {
			a.statuses[s] = &outcome{status: status, left: n}
		}
	})
}

// Throttle answers assignments of the serials with THROTTLED for a while, and
// says in retry_after_seconds how long that is.
func (a *Account) Throttle(d time.Duration, serials ...string) {
	a.set(func() {
		for _, s := range serials {
			a.throttles[s] = a.cloud.now().Add(d)
		}
	})
}

// Discovery is the mdm_service_discovery_url for account-driven enrollment;
// empty if none is set.
func (a *Account) Discovery() string {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	return a.discovery
}

func (a *Account) set(change func()) {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	change()
}
