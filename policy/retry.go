package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// A failed command is sent again where its error may pass by itself: later, and
// not for ever. What else failed stays so until it changes, since the same
// bytes on an unchanged device would only fail again.
const (
	retryFirst = 5 * time.Minute // doubles with each try
	retryMost  = 6 * time.Hour
	maxTries   = 8 // in all, about a day
)

// passing are the errors that may pass, by domain; codes nil: all of the domain.
// Apple documents the domains, and of most codes no more than their texts.
var passing = map[string]struct {
	codes []string
	why   string
}{
	"NSURLErrorDomain":             {nil, "the device had no network, or the server of an app did not answer"},
	"kCFErrorDomainCFNetwork":      {nil, "as NSURLErrorDomain"},
	"NSPOSIXErrorDomain":           {nil, "a connection broke, or the storage was full"},
	"MCHTTPTransactionErrorDomain": {[]string{"23001", "23002"}, "a server gave a bad answer"},
	"MCSCEPErrorDomain":            {nil, "the certificate authority did not answer"},
	"ASDErrorDomain":               {nil, "the App Store did not answer"},
	"SKErrorDomain":                {nil, "the App Store did not answer"},
	"DMCInstallationErrorDomain":   {nil, "another installation was running"},
}

// rejections are the RejectionReason values of apps that may pass.
var rejections = []string{"AppAlreadyQueued", "CouldNotVerifyAppID", "AppStoreDisabled"}

// passingCodes are the codes of errors that may pass, of Android agents
// (docs/android-agent.md). Their words are code and text.
var passingCodes = []string{"network_unavailable", "download_failed", "storage_full", "busy", "timed_out"}

var domainAndCode = regexp.MustCompile(`([A-Za-z]+Domain) (-?[0-9]+)`)

// mayPass says whether an error, in the device's own words, may pass.
func mayPass(words string) bool {
	for _, m := range domainAndCode.FindAllStringSubmatch(words, -1) {
		p, known := passing[m[1]]
		if !known {
			continue
		}
		if p.codes == nil {
			return true
		}
		for _, c := range p.codes {
			if c == m[2] {
				return true
			}
		}
	}
	for _, r := range rejections {
		if strings.HasSuffix(words, r) {
			return true
		}
	}
	code, _, _ := strings.Cut(words, ":")
	return slices.Contains(passingCodes, code)
}

// retryAt is when a failed command is sent again; ok is false where it is not.
// The release from Setup Assistant is tried without end: nobody could use the
// device without it.
func retryAt(d Delivered) (at time.Time, ok bool) {
	release := d.Key == releaseKey
	if !release && (d.Tries >= maxTries || !mayPass(d.Error)) {
		return time.Time{}, false
	}
	wait := retryFirst
	if release {
		wait = 10 * time.Second
	}
	for range min(d.Tries-1, maxTries) {
		wait *= 2
	}
	return d.FinishedAt.Add(min(wait, retryMost)), true
}
