package amapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	extraPrefix = "android.app.extra.PROVISIONING_"
	extraToken  = "com.google.android.apps.work.clouddpc.EXTRA_ENROLLMENT_TOKEN"

	enrollHost     = "enterprise.google.com"
	enrollPath     = "/android/enroll"
	invalidAddress = "https://" + enrollHost + enrollPath + "/invalid"

	maxRedirects = 10
	// provisioningLife is for how long provisioningInfo.get answers.
	provisioningLife = 24 * time.Hour
)

// provisioning is what a sign-in page may learn of a device that waits for it.
type provisioning struct {
	enterprise      *enterprise
	phone           *Device
	mode, ownership string
	account         string
	created         time.Time
}

// Setup sets a device up with one of:
//   - the text of a QR code, or zero-touch or Knox extras (a JSON object), or a
//     bare token: read in the setup wizard of a device without a user, which
//     makes it company-owned: fully managed, or with a work profile where the
//     token allows personal use;
//   - a link https://enterprise.google.com/android/enroll?et=...: opened on a
//     device in use, which gets a personal work profile.
//
// Where the token is that of a sign-in page, the page is opened and its
// redirects are followed, which must end at enroll?et= or enroll/invalid.
// Errors: ErrRefused, ErrToken, ErrManaged, ErrOffline, ErrSignIn.
func (d *Device) Setup(ctx context.Context, entry string) error {
	value, wizard, err := readEntry(entry)
	if err != nil {
		return err
	}
	c := d.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	switch {
	case d.offline:
		return ErrOffline
	case d.record != nil || d.busy:
		return ErrManaged
	}
	e, detail := c.signin(value)
	if detail == nil {
		_, t := c.byValue(value)
		if t == nil {
			return fmt.Errorf("%w: unknown or used up", ErrToken)
		}
		mode, ownership, err := manage(t.usage, wizard)
		if err != nil {
			return err
		}
		return c.enroll(d, value, mode, ownership)
	}
	mode, ownership, err := manage(detail.usage, wizard)
	if err != nil {
		return err
	}
	if text(detail.settings, "googleAuthenticationOptions.authenticationRequirement") == "REQUIRED" && d.account == "" {
		return fmt.Errorf("%w: it wants a Google account", ErrToken)
	}
	id := newProvisioningID()
	c.provisionings[id] = &provisioning{e, d, mode, ownership, d.account, c.now()}
	d.busy = true
	c.mu.Unlock()
	granted, err := c.browse(ctx, detail.url, id)
	c.mu.Lock()
	d.busy = false
	if err != nil {
		return err
	}
	if owner, t := c.byValue(granted); t == nil || owner != e || !fits(t.usage, mode) {
		return fmt.Errorf("%w: it is not one for this device", ErrToken)
	}
	return c.enroll(d, granted, mode, ownership)
}

func newProvisioningID() string { return random(24) }

// readEntry finds the token in what a device is given, and says whether it was
// given in the setup wizard.
func readEntry(entry string) (token string, wizard bool, err error) {
	entry = strings.TrimSpace(entry)
	if strings.HasPrefix(entry, "https://") || strings.HasPrefix(entry, "http://") {
		token, err := linkToken(entry)
		return token, false, err
	}
	if !strings.HasPrefix(entry, "{") {
		if entry == "" {
			return "", false, fmt.Errorf("%w: none was given", ErrToken)
		}
		return entry, true, nil
	}
	var extras map[string]json.RawMessage
	if err := json.Unmarshal([]byte(entry), &extras); err != nil {
		return "", false, fmt.Errorf("%w: the extras are no JSON: %w", ErrToken, err)
	}
	bundle := extras
	if raw, nested := extras[extraPrefix+"ADMIN_EXTRAS_BUNDLE"]; nested {
		var component string
		_ = json.Unmarshal(extras[extraPrefix+"DEVICE_ADMIN_COMPONENT_NAME"], &component)
		if component != "com.google.android.apps.work.clouddpc/.receivers.CloudDeviceAdminReceiver" {
			return "", false, fmt.Errorf("%w: the extras are for %q, not for Android Device Policy", ErrToken, component)
		}
		bundle = nil
		if err := json.Unmarshal(raw, &bundle); err != nil {
			return "", false, fmt.Errorf("%w: the admin extras are no object: %w", ErrToken, err)
		}
	}
	if err := json.Unmarshal(bundle[extraToken], &token); err != nil || token == "" {
		return "", false, fmt.Errorf("%w: the extras have none", ErrToken)
	}
	return token, true, nil
}

// linkToken reads an enrollment link.
func linkToken(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host != enrollHost || u.Path != enrollPath || u.Query().Get("et") == "" {
		return "", fmt.Errorf("%w: %q is no enrollment link", ErrToken, link)
	}
	return u.Query().Get("et"), nil
}

// manage is how a device is managed, by its token and the way it is set up.
func manage(usage string, wizard bool) (mode, ownership string, err error) {
	switch {
	case wizard && usage == personal:
		return profileOwner, companyOwned, nil
	case wizard:
		return deviceOwner, companyOwned, nil
	case usage == personal || usage == "":
		return profileOwner, personallyHeld, nil
	}
	return "", "", fmt.Errorf("%w: it does not allow personal use", ErrToken)
}

// fits says whether a token is good for a device that a sign-in page let in.
func fits(usage, mode string) bool {
	return usage == "" || (usage == personal) == (mode == profileOwner)
}

// signin finds the sign-in page that a token stands for.
func (c *Cloud) signin(value string) (*enterprise, *signinDetail) {
	for _, e := range c.enterprises {
		if e.unbound {
			continue
		}
		for _, detail := range e.details {
			if detail.token == value {
				return e, detail
			}
		}
	}
	return nil, nil
}

// byValue finds a token that is good.
func (c *Cloud) byValue(value string) (*enterprise, *enrollmentToken) {
	for _, e := range c.enterprises {
		if t := e.values[value]; t != nil && !e.unbound && t.alive(c.now()) {
			return e, t
		}
	}
	return nil, nil
}

// browse opens a sign-in page as Android Device Policy does, and returns the
// token it ends with.
func (c *Cloud) browse(ctx context.Context, page, id string) (string, error) {
	at, err := url.Parse(page)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignIn, err)
	}
	query := at.Query()
	query.Set("provisioningInfo", id)
	at.RawQuery = query.Encode()
	client := *c.options.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxRedirects {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignIn, err)
		}
		r.Header.Set("User-Agent", "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36")
		resp, err := client.Do(r)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignIn, err)
		}
		resp.Body.Close()
		next, err := resp.Location()
		if resp.StatusCode < 300 || resp.StatusCode > 399 || err != nil {
			return "", fmt.Errorf("%w: %s shows a page with status %d", ErrSignIn, at.Path, resp.StatusCode)
		}
		if next.String() == invalidAddress {
			return "", ErrRefused
		}
		if next.Host == enrollHost {
			token, err := linkToken(next.String())
			if err != nil {
				return "", fmt.Errorf("%w: %w", ErrSignIn, err)
			}
			return token, nil
		}
		at = next
	}
	return "", fmt.Errorf("%w: too many redirects", ErrSignIn)
}

// enroll makes the record of a device, and uses the token.
func (c *Cloud) enroll(d *Device, value, mode, ownership string) error {
	e, t := c.byValue(value)
	switch {
	case t == nil:
		return fmt.Errorf("%w: unknown or used up", ErrToken)
	case t.signIn && d.account == "", t.account != "" && !strings.EqualFold(t.account, d.account):
		return fmt.Errorf("%w: it is for another account", ErrToken)
	}
	t.dead = t.oneTime
	now := c.now()
	r := &record{enterprise: e, id: random(8), phone: d, mode: mode, ownership: ownership, token: t, enrolled: now, account: d.account, state: provisioningState, policy: t.policy}
	// Every enrollment of this device so far, whatever became of it.
	r.previous = e.known[d.hardware.Serial]
	e.known[d.hardware.Serial] = append(r.previous, r.name())
	e.records = append(e.records, r)
	e.byID[r.id] = r
	d.record = r
	if e.policies[strings.TrimPrefix(r.policy, e.name()+"/policies/")] != nil {
		r.state = activeState
	} else {
		c.waiting[r] = true
	}
	c.notify(e, "ENROLLMENT", r.render())
	c.sync(r)
	return nil
}

// getProvisioning tells of a device before it is enrolled. What identifies it
// is told of company-owned devices only.
func (c *Cloud) getProvisioning(q *call) (any, *refusal) {
	p := c.provisionings[q.ids[0]]
	if p == nil || p.enterprise.unbound || c.now().After(p.created.Add(provisioningLife)) {
		return nil, missing()
	}
	h := p.phone.hardware
	out := object{"name": "provisioningInfo/" + q.ids[0], "enterprise": p.enterprise.name(), "managementMode": p.mode, "ownership": p.ownership,
		"brand": h.Brand, "model": h.Model, "apiLevel": h.APILevel}
	if p.ownership == companyOwned {
		for name, value := range map[string]string{"serialNumber": h.Serial, "imei": h.IMEI, "meid": h.MEID} {
			if value != "" {
				out[name] = value
			}
		}
	}
	if p.account != "" {
		out["authenticatedUserEmail"] = p.account
	}
	return out, nil
}
