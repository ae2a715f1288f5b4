package browser

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"

	"rollcall/certs"
)

const (
	chromiumVariable = "ROLLCALL_TEST_CHROMIUM"
	skip             = "skip"
)

var errNoChromium = errors.New("browser: no Chromium at /usr/bin/chromium; install Debian's package chromium, or set " + chromiumVariable + " to its path")

// authority is what all servers of these tests get their certificates from, and
// the only one that Chromium forgives that nobody knows it.
type authority struct{ dir, cert, key, pin string }

func newAuthority() (*authority, error) {
	ca, err := certs.CreateAuthority("Browser test CA", time.Now())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rollcall-browser-")
	if err != nil {
		return nil, err
	}
	pin := sha256.Sum256(ca.Certificate().RawSubjectPublicKeyInfo)
	a := &authority{dir, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"), base64.StdEncoding.EncodeToString(pin[:])}
	return a, errors.Join(
		os.WriteFile(a.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw}), 0o600),
		os.WriteFile(a.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ca.KeyDER()}), 0o600))
}

func (a *authority) remove() { os.RemoveAll(a.dir) }

// chromium is one process; people open windows in it.
type chromium struct {
	ctx  context.Context
	stop func()
}

func startChromium(a *authority) (*chromium, error) {
	path := os.Getenv(chromiumVariable)
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := os.Stat(path); err != nil {
		return nil, errNoChromium
	}
	profile, err := os.MkdirTemp("", "rollcall-chromium-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("lang", "en-GB"), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", a.pin))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to start as root with it
	}
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	c := &chromium{ctx, func() {
		cancel()
		end()
		os.RemoveAll(profile)
	}}
	if err := chromedp.Do(ctx); err != nil {
		c.stop()
		return nil, fmt.Errorf("browser: start %s: %w", path, err)
	}
	return c, nil
}
