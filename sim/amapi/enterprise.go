package amapi

import (
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// enterprise is an organization that is bound to the project.
type enterprise struct {
	id       string // LC...
	settings object // what can be patched
	details  []*signinDetail
	tokens   []*enrollmentToken
	values   map[string]*enrollmentToken // by value
	known    map[string][]string         // names of a device's records so far, by serial
	policies map[string]object           // by id
	records  []*record                   // in the order of enrollment
	byID     map[string]*record
	unbound  bool
}

// signinDetail is an entry of signinDetails with what the server made of it.
type signinDetail struct {
	url, usage, tag string // what it is known by
	settings        object // as sent
	token           string // signinEnrollmentToken
}

func newEnterprise(c *Cloud) *enterprise {
	return &enterprise{id: "LC" + random(4), settings: object{}, values: map[string]*enrollmentToken{}, known: map[string][]string{}, policies: map[string]object{}, byID: map[string]*record{}}
}

// AddEnterprise binds an organization without its sign-up, and returns its
// name: "enterprises/LC...".
func (c *Cloud) AddEnterprise(displayName string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := newEnterprise(c)
	if displayName != "" {
		e.settings["enterpriseDisplayName"] = displayName
	}
	c.enterprises[e.id] = e
	return e.name()
}

// Unbind is the IT admin who deletes the organization in Google's console: all
// calls about it are forbidden from now on, and nothing says so by itself. Its
// devices are reset when they are next online.
func (c *Cloud) Unbind(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.enterprises[strings.TrimPrefix(name, "enterprises/")]
	if e == nil {
		return
	}
	e.unbound = true
	for _, r := range e.records {
		c.orderWipe(r)
		c.sync(r)
	}
}

func (e *enterprise) name() string { return "enterprises/" + e.id }

// writable are the fields of an enterprise that a patch may name.
var writable = []string{"appAutoApprovalEnabled", "contactInfo", "enabledNotificationTypes", "enterpriseDisplayName", "logo", "primaryColor", "pubsubTopic", "signinDetails", "termsAndConditions"}

func (c *Cloud) getEnterprise(e *enterprise, _ *call) (any, *refusal) { return e.render(), nil }

func (c *Cloud) patchEnterprise(e *enterprise, q *call) (any, *refusal) {
	if bad := e.write(c, q.body, q.query.Get("updateMask")); bad != nil {
		return nil, bad
	}
	return e.render(), nil
}

// listEnterprises finds nothing: only enterprises that the EMM manages are
// listed, and these are managed by their customers.
func (c *Cloud) listEnterprises(q *call) (any, *refusal) {
	if q.query.Get("projectId") != c.options.Project {
		return nil, denied("The caller does not have permission on the project.", "")
	}
	return object{}, nil
}

func (c *Cloud) deleteEnterprise(*enterprise, *call) (any, *refusal) {
	return nil, precondition("Only enterprises that are managed by the EMM can be deleted.")
}

func (c *Cloud) upgradeURL(e *enterprise, _ *call) (any, *refusal) {
	return object{"url": c.url + "/upgrade/" + random(8)}, nil
}

func (c *Cloud) createWebToken(e *enterprise, q *call) (any, *refusal) {
	frame, err := url.Parse(text(q.body, "parentFrameUrl"))
	if err != nil || frame.Scheme != "https" || frame.Host == "" {
		return nil, invalid("parentFrameUrl must be an https URL.")
	}
	out := clone(q.body)
	out["name"], out["value"] = e.name()+"/webTokens/"+random(8), random(32)
	return out, nil
}

var topicName = regexp.MustCompile(`^projects/[^/]+/topics/[^/]+$`)

// write patches the settings; without a mask, all that can be written is.
func (e *enterprise) write(c *Cloud, body object, mask string) *refusal {
	paths := writable
	if mask != "" {
		paths = strings.Split(mask, ",")
	}
	next := clone(e.settings)
	for _, path := range paths {
		top, _, _ := strings.Cut(path, ".")
		if !slices.Contains(writable, top) {
			return invalid("Invalid field mask: %s cannot be written.", path)
		}
		if top == "signinDetails" && path != top {
			return invalid("Invalid field mask: signinDetails is replaced as a whole.")
		}
		assign(next, body, path)
	}
	if len(text(next, "enterpriseDisplayName")) > 100 {
		return invalid("enterpriseDisplayName is longer than 100 characters.")
	}
	if slices.Contains(texts(next, "enabledNotificationTypes"), "NOTIFICATION_TYPE_UNSPECIFIED") {
		return invalid("enabledNotificationTypes: NOTIFICATION_TYPE_UNSPECIFIED cannot be enabled.")
	}
	topic := text(next, "pubsubTopic")
	if topic != "" && (!topicName.MatchString(topic) || !c.topics[topic].mayPublish()) {
		return invalid("pubsubTopic: %q does not exist, or %s may not publish to it (%s).", topic, publisher, publisherRole)
	}
	details, bad := e.merge(list(next, "signinDetails"))
	if bad != nil {
		return bad
	}
	fresh := topic != "" && topic != text(e.settings, "pubsubTopic")
	delete(next, "signinDetails")
	e.settings, e.details = next, details
	if fresh {
		c.publish(topic, map[string]string{"notificationType": "test"}, nil)
	}
	return nil
}

// merge makes the new list of sign-in details: those that are unchanged keep
// their token, others get one.
func (e *enterprise) merge(sent []object) ([]*signinDetail, *refusal) {
	var out []*signinDetail
	defaults := 0
	for _, s := range sent {
		d := &signinDetail{url: text(s, "signinUrl"), usage: text(s, "allowPersonalUsage"), tag: text(s, "tokenTag"), settings: clone(s)}
		same := func(o *signinDetail) bool { return o.url == d.url && o.usage == d.usage && o.tag == d.tag }
		if u, err := url.Parse(d.url); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			return nil, invalid("signinDetails: signinUrl %q is not an https URL.", d.url)
		}
		if d.usage == "ALLOW_PERSONAL_USAGE_UNSPECIFIED" {
			return nil, invalid("signinDetails: allowPersonalUsage must not be ALLOW_PERSONAL_USAGE_UNSPECIFIED.")
		}
		if slices.ContainsFunc(out, same) {
			return nil, invalid("signinDetails: signinUrl, allowPersonalUsage and tokenTag together must be unique.")
		}
		if text(s, "defaultStatus") == "SIGNIN_DETAIL_IS_DEFAULT" {
			if defaults++; defaults > 1 {
				return nil, invalid("signinDetails: only one entry can be the default.")
			}
		}
		d.token = newTokenValue()
		if i := slices.IndexFunc(e.details, same); i >= 0 {
			d.token = e.details[i].token
		}
		out = append(out, d)
	}
	return out, nil
}

// loopback says whether a host is this machine, where tests serve in the clear.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *enterprise) render() object {
	out := clone(e.settings)
	out["name"] = e.name()
	out["enterpriseType"], out["managedGooglePlayAccountsEnterpriseType"] = "MANAGED_GOOGLE_PLAY_ACCOUNTS_ENTERPRISE", "CUSTOMER_MANAGED"
	if len(e.details) > 0 {
		var details []any
		for _, d := range e.details {
			shown := clone(d.settings)
			shown["signinEnrollmentToken"], shown["qrCode"] = d.token, qrCode(d.token)
			details = append(details, shown)
		}
		out["signinDetails"] = details
	}
	return out
}

// qrCode is what the QR code of a token holds: extras for Android's setup
// wizard (developers.google.com/android/management/provision-device).
func qrCode(token string) string {
	out, _ := json.Marshal(object{
		extraPrefix + "DEVICE_ADMIN_COMPONENT_NAME":            "com.google.android.apps.work.clouddpc/.receivers.CloudDeviceAdminReceiver",
		extraPrefix + "DEVICE_ADMIN_SIGNATURE_CHECKSUM":        "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg",
		extraPrefix + "DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION": "https://play.google.com/managed/downloadManagingApp?identifier=setup",
		extraPrefix + "ADMIN_EXTRAS_BUNDLE":                    object{extraToken: token},
	})
	return string(out)
}
