package iphone

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"rollcall/sim/plist"
)

const (
	headerMachineInfo = "X-Apple-Aspen-Deviceinfo"
	loginScheme       = "apple-remotemanagement-user-login"

	modeBYOD = "BYOD"
	modeADDE = "ADDE"
)

// Account is a Managed Apple Account and who types it in.
type Account struct {
	Identifier string // user@domain
	// Domain is the web server of the account's domain; default https://domain.
	Domain string
	Choice Choice // answers the pages of the sign-in
}

// SignIn is a person signing in to the device under Settings > General > VPN &
// Device Management (account-driven enrollment).
func (p *Phone) SignIn(ctx context.Context, a Account) error {
	version, base, err := p.discover(ctx, a)
	if err != nil {
		return err
	}
	signed, err := p.signedMachineInfo(plist.Dict{"LANGUAGE": "en", "PRODUCT": p.cfg.Product, "VERSION": p.cfg.BuildVersion})
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {typeSignature}, "User-Agent": {mdmAgent}}
	resp, body, err := send(ctx, p.system, http.MethodPost, base, header, signed)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return refused(resp, body)
	}
	token, err := p.authenticateAt(ctx, resp.Header.Get("WWW-Authenticate"), a)
	if err != nil {
		return err
	}
	header.Set("Authorization", "Bearer "+token)
	if resp, body, err = send(ctx, p.system, http.MethodPost, base, header, signed); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refused(resp, body)
	}
	if contentType(resp) != typeProfile {
		return protocolError("account-driven enrollment", "content type %q", resp.Header.Get("Content-Type"))
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	defer p.closeIdle(p.system)
	prof, err := parseProfile(body, nil)
	if err != nil {
		return err
	}
	mdm := prof.find(payloadMDM)
	want := map[string]string{"mdm-byod": modeBYOD, "mdm-adde": modeADDE}[version]
	if mdm == nil || mdm.dict["EnrollmentMode"] != want || mdm.dict["AssignedManagedAppleID"] != a.Identifier {
		return mdmError(12000, "the profile is not for %s of %s", want, a.Identifier)
	}
	p.change(func() { p.access = token })
	return p.installConfiguration(ctx, prof, byAccount)
}

// discover asks the account's domain which server manages its users.
func (p *Phone) discover(ctx context.Context, a Account) (version, base string, err error) {
	_, domain, ok := strings.Cut(a.Identifier, "@")
	if !ok {
		return "", "", protocolError("discovery", "%q is no account", a.Identifier)
	}
	at := a.Domain
	if at == "" {
		at = "https://" + domain
	}
	family, _, _ := strings.Cut(p.cfg.Product, ",")
	query := url.Values{"user-identifier": {a.Identifier}, "model-family": {strings.TrimRight(family, "0123456789")}}
	resp, body, err := send(ctx, p.system, http.MethodGet, at+"/.well-known/com.apple.remotemanagement?"+query.Encode(), http.Header{"User-Agent": {mdmAgent}}, nil)
	if err != nil {
		return "", "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", "", refused(resp, body)
	}
	var answer struct {
		Servers []struct{ Version, BaseURL string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || contentType(resp) != "application/json" || len(answer.Servers) != 1 {
		return "", "", protocolError("discovery", "the answer does not name exactly one server: %v", err)
	}
	s := answer.Servers[0]
	if s.Version != "mdm-byod" && s.Version != "mdm-adde" || !absoluteURL(s.BaseURL, "https") {
		return "", "", protocolError("discovery", "server %q at %q", s.Version, s.BaseURL)
	}
	return s.Version, s.BaseURL, nil
}

var webSignIn = regexp.MustCompile(`^Bearer method="apple-as-web", url="([^"]+)"$`)

// authenticateAt has the person sign in where a 401 says, and gives the access
// token.
func (p *Phone) authenticateAt(ctx context.Context, where string, a Account) (string, error) {
	m := webSignIn.FindStringSubmatch(where)
	if m == nil || !absoluteURL(m[1], "https") {
		return "", protocolError("account-driven enrollment", "WWW-Authenticate %q", where)
	}
	var result url.URL
	if _, err := p.browse(ctx, m[1]+"?user-identifier="+url.QueryEscape(a.Identifier), nil, a.Choice, &result); err != nil {
		return "", err
	}
	token := result.Query().Get("access-token")
	if result.Host != "authentication-results" || token == "" {
		return "", protocolError("account-driven enrollment", "the sign-in ended without a token")
	}
	return token, nil
}

// SignInAgain is the person signing in after a request was answered 401.
func (p *Phone) SignInAgain(ctx context.Context, r *RefusedError, a Account) error {
	e := p.current()
	if e == nil {
		return ErrNotEnrolled
	}
	token, err := p.authenticateAt(ctx, r.SignIn, a)
	if err != nil {
		return err
	}
	p.change(func() { e.bearer, p.access = token, token })
	return nil
}

// EnrollmentID is the identifier of a user enrollment; empty in any other.
func (p *Phone) EnrollmentID() string {
	return fromEnrollment(p, func(e *enrollment) string { s, _ := e.id["EnrollmentID"].(string); return s })
}
