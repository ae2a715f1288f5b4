package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/certs/attestation"
)

// noStatus switches the list of revoked attestation keys off.
const noStatus = "none"

// newRevocations makes the list of revoked attestation keys; nil if there is to
// be none.
func (a *App) newRevocations() attestation.Revocations {
	source := a.opts.AttestationStatusURL
	if source == "" || source == noStatus {
		return nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	a.cleanups = append(a.cleanups, transport.CloseIdleConnections)
	a.revoked = attestation.NewRevocationList(fetchStatus(&http.Client{Transport: transport}, source), a.now)
	return a.revoked
}

// keepRevocations is the worker of the list.
func (a *App) keepRevocations(ctx context.Context) error {
	a.revoked.Run(ctx, a.log)
	return nil
}

// fetchStatus gets a revocation list; its reader bounds it in size and time.
func fetchStatus(client *http.Client, source string) attestation.Fetch {
	return func(ctx context.Context) (io.ReadCloser, time.Duration, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, 0, err
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, 0, err
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return nil, 0, fmt.Errorf("%s answers %s", source, res.Status)
		}
		return res.Body, maxAge(res.Header.Get("Cache-Control")), nil
	}
}

// maxAge is what Cache-Control allows; 0 if it does not say.
func maxAge(control string) time.Duration {
	for directive := range strings.SplitSeq(control, ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			seconds, err := strconv.ParseUint(text, 10, 31)
			if err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return 0
}
