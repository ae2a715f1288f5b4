package iphone

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"rollcall/sim/plist"
)

// RefusedError is a server's refusal: a status other than success, or (with
// status 200) a page that leads nowhere.
type RefusedError struct {
	Status int
	Text   string // visible text of a page, body of anything else
	URL    string
	// Code and Message are those of an Apple error body, such as
	// "com.apple.unrecognized.device" (facts: 403 with JSON or plist).
	Code    string
	Message string
	// UpdateTo is the system version that com.apple.softwareupdate.required
	// asks for; SignIn the WWW-Authenticate header of a 401.
	UpdateTo string
	SignIn   string
}

func (e *RefusedError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("refused by %s: status %d, %s: %s", e.URL, e.Status, e.Code, e.Message)
	}
	return fmt.Sprintf("refused by %s: status %d: %s", e.URL, e.Status, e.Text)
}

// Errors of a phone that are not the server's.
var (
	// ErrNotEnrolled: there is no MDM profile.
	ErrNotEnrolled = errors.New("iphone: not enrolled")
	// ErrNotReturning: the server does not let the phone return to service.
	ErrNotReturning = errors.New("iphone: not returning to service")
	// ErrNoIdentity: Config has no Identity to sign with.
	ErrNoIdentity = errors.New("iphone: no device identity")
	// ErrConnectionLost: the connection broke, on purpose (OnCommand).
	ErrConnectionLost = errors.New("iphone: connection lost")
	// ErrCrashed: the phone crashed with a command in hand (OnCommand).
	ErrCrashed = errors.New("iphone: crashed")
)

// ProtocolError is an answer that a device does not understand.
type ProtocolError struct{ Where, What string }

func (e *ProtocolError) Error() string { return "iphone: " + e.Where + ": " + e.What }

func protocolError(where, format string, args ...any) error {
	return &ProtocolError{Where: where, What: fmt.Sprintf(format, args...)}
}

// ErrorItem is one entry of an ErrorChain.
type ErrorItem struct {
	Code    int
	Domain  string
	Message string
}

// ChainError is a failure as a device reports it: in the ErrorChain of a
// command's result, or in an alert when installing by hand.
type ChainError []ErrorItem

func (c ChainError) Error() string {
	parts := make([]string, len(c))
	for i, item := range c {
		parts[i] = fmt.Sprintf("%s %d: %s", item.Domain, item.Code, item.Message)
	}
	return strings.Join(parts, "; ")
}

func (c ChainError) plist() []any {
	var out []any
	for _, item := range c {
		out = append(out, plist.Dict{"ErrorCode": item.Code, "ErrorDomain": item.Domain,
			"LocalizedDescription": item.Message, "USEnglishDescription": item.Message})
	}
	return out
}

// Error domains of iOS. The numbers are informational and may change.
const (
	domainMDM     = "MCMDMErrorDomain"
	domainProfile = "MCProfileErrorDomain"
	domainPayload = "MCPayloadErrorDomain"
	domainInstall = "MCInstallationErrorDomain"
)

func mdmError(code int, format string, args ...any) ChainError {
	return ChainError{{code, domainMDM, fmt.Sprintf(format, args...)}}
}

func profileError(format string, args ...any) ChainError {
	return ChainError{{1000, domainProfile, "The profile is malformed: " + fmt.Sprintf(format, args...)}}
}

func payloadError(format string, args ...any) ChainError {
	return ChainError{{2002, domainPayload, fmt.Sprintf(format, args...)}}
}

// refused makes the error of an answer with an unwelcome status.
func refused(resp *http.Response, body []byte) *RefusedError {
	e := &RefusedError{Status: resp.StatusCode, Text: strings.TrimSpace(string(body[:min(len(body), 2000)])), URL: resp.Request.URL.String()}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var dict map[string]any
	switch kind {
	case "application/json":
		if json.Unmarshal(body, &dict) != nil {
			return e
		}
	case "application/xml":
		if d, err := plist.UnmarshalDict(body); err == nil {
			dict = d
		}
	case "text/html":
		e.Text = visibleText(body)
	}
	e.Code, _ = dict["code"].(string)
	e.Message, _ = dict["message"].(string)
	if details, ok := dict["details"].(map[string]any); ok {
		e.UpdateTo, _ = details["OSVersion"].(string)
	}
	e.SignIn = resp.Header.Get("WWW-Authenticate")
	return e
}
