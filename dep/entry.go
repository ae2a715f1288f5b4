package dep

import "context"

// Authentication is how the person in front of the device proves who they are
// before the enrollment profile is handed out.
type Authentication string

// AuthenticationRequest asks for the one-time code of the person's enrollment
// request, AuthenticationOIDC sends them to the organization's OpenID provider.
// Both need the profile's web view.
const (
	AuthenticationNone    Authentication = "none"
	AuthenticationRequest Authentication = "request"
	AuthenticationOIDC    Authentication = "oidc"
)

// Authentications lists them in the order the documentation names them.
var Authentications = []Authentication{AuthenticationNone, AuthenticationRequest, AuthenticationOIDC}

// Entry is what the devices' endpoint needs to know of an ADE profile.
type Entry struct {
	ProfileID       string
	AccountID       string
	Authentication  Authentication
	MinimumOS       map[string]string // by family "iPhone", "iPad", "Mac", "AppleTV"; missing: any
	AwaitConfigured bool
	ReturnToService bool // devices may erase themselves and come back without hands
}

// Entries is what the devices' endpoint asks.
type Entries interface {
	// Entry finds the profile whose URL holds the secret. KindNotFound where
	// there is none.
	Entry(ctx context.Context, secret string) (Entry, error)
	// EntryOf finds it by its ID.
	EntryOf(ctx context.Context, profileID string) (Entry, error)
	// Listed says whether DEP lists the serial for this server now, and in
	// which account.
	Listed(ctx context.Context, serial string) (accountID string, listed bool, err error)
}

// EntryPath and WebPath end the URLs of a profile, after the server's public
// URL: {public}/enroll/ade/{secret} and {public}/enroll/ade/{secret}/web.
func EntryPath(secret string) string { return "/enroll/ade/" + secret }

// WebPath is where the web view of a profile with Authentication begins.
func WebPath(secret string) string { return EntryPath(secret) + "/web" }
