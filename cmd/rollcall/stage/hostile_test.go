package stage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/sim/plist"
)

// bomb is a body that ends or slows down careless servers.
type bomb struct {
	name string
	body []byte
}

// bombs are the small ones from testdata, and those too large for a file.
func bombs(t *testing.T) []bomb {
	t.Helper()
	files, err := filepath.Glob("../../../testdata/mdm/hostile/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d hostile files: %v", len(files), err)
	}
	var out []bomb
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bomb{filepath.Base(f), body})
	}
	noise := make([]byte, 64<<10)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(noise)
	head := `<?xml version="1.0" encoding="UTF-8"?><plist version="1.0">`
	return append(out,
		bomb{"17 MB of nested arrays", []byte(head + strings.Repeat("<array>", 17<<20/len("<array>")))},
		bomb{"1 MB of nested arrays", []byte(head + strings.Repeat("<array>", (1<<20-100)/len("<array>")))},
		bomb{"4 MB of nested BER", bytes.Repeat([]byte{0x30, 0x80}, 2<<20)},
		bomb{"200 KB of nested BER", bytes.Repeat([]byte{0x30, 0x80}, 100<<10)},
		bomb{"15 MB of one string", []byte(head + "<string>" + strings.Repeat("A", 15<<20))},
		bomb{"noise", noise},
		bomb{"nothing", nil})
}

// TestHostileBytes throws all of them at every endpoint that devices have,
// under every content type, signed by a device and not. The server answers that
// it does not like them, and goes on.
func TestHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("HONEST000001")
		p.roll("HONEST000002")
		honest := p.phone("HONEST000001").enroll(p.url + "/enroll")
		p.acknowledged("HONEST000001")
		enrolled := p.rows("enrollments", "")
		r := p.invite("HONEST000002")
		unliked := func(what string, status int) {
			t.Helper()
			p.check(what+" is answered 4xx, and not 401", status >= 400 && status < 500 && status != http.StatusUnauthorized, status)
		}
		for _, b := range bombs(t) {
			for path, contentType := range map[string]string{checkInPath: checkInType, connectPath: connectType} {
				status, _ := p.putRaw(path, contentType, b.body, "")
				unliked(b.name+" unsigned at "+path, status)
				status, _ = p.putRaw(path, contentType, b.body, signature(t, b.body, honest.identity()))
				unliked(b.name+" signed at "+path, status)
			}
			for path, contentType := range map[string]string{
				"/enroll/ota/attributes":       "application/pkcs7-signature",
				"/scep?operation=PKIOperation": "application/x-pki-message",
			} {
				status, _ := p.post(path, contentType, b.body)
				unliked(b.name+" at "+path, status)
			}
			body := url.Values{"ownership": {string(b.body[:min(len(b.body), 1<<20)])}}.Encode()
			status, _ := p.post(r.Link, "application/x-www-form-urlencoded", []byte(body))
			p.check(b.name+" as an answer on the page", status < 500 && status != http.StatusUnauthorized, status)
			text := url.QueryEscape(string(b.body[:min(len(b.body), 4<<10)]))
			for _, path := range []string{"/enroll/ota?request=", "/enroll/profile?request=", "/scep?operation=PKIOperation&message=", "/scep?operation=", "/enroll/r/"} {
				if text == "" {
					continue
				}
				res, answer := p.send(http.MethodGet, path+text, "", nil)
				unliked(b.name+" at "+path, res.StatusCode)
				p.noInternals(string(answer))
			}
		}
		p.check("nobody was enrolled by it", p.rows("enrollments", "") == enrolled)
		p.check("nothing was torn down", honest.Enrolled() && p.device("HONEST000001").State == "enrolled")
		p.stillServes("HONEST000002")
	})
}

// stillServes wants a healthy server that enrolls an honest phone.
func (p *play) stillServes(serial string) {
	p.t.Helper()
	res, _ := p.send(http.MethodGet, p.App.OpsURL()+"/healthz", "", nil)
	p.check("alive", res.StatusCode == http.StatusOK, res.StatusCode)
	p.phone(serial).enroll(p.url + "/enroll")
	p.acknowledged(serial)
	p.check("nothing panicked", !strings.Contains(p.log.String(), "panic"))
}

// TestWrongMethodsTypesAndHeaders: what is not the protocol is refused plainly.
func TestWrongMethodsTypesAndHeaders(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("HONEST000003")
		endpoints := []struct {
			path  string
			allow string
		}{{checkInPath, "PUT POST"}, {connectPath, "PUT POST"}, {"/scep", "GET POST"}, {"/enroll/ota", "GET"}, {"/enroll/ota/attributes", "POST"},
			{"/enroll/profile", "GET"}, {"/enroll/trust", "GET"}, {"/enroll", "GET HEAD"}, {"/enroll/r/nobody-has-this-secret", "GET HEAD POST"}}
		for _, e := range endpoints {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROBNICATE"} {
				if strings.Contains(" "+e.allow+" ", " "+method+" ") {
					continue
				}
				res, answer := p.send(method, e.path, checkInType, nil)
				p.check(method+" "+e.path+" is answered 405", res.StatusCode == http.StatusMethodNotAllowed, res.StatusCode)
				p.noInternals(string(answer))
			}
		}
		idle := plist.Marshal(plist.Dict{"UDID": "x", "Status": "Idle"})
		for _, contentType := range []string{"", "text/plain", "application/json", "application/x-www-form-urlencoded", "application/x-apple-aspen", strings.Repeat("a", 1000), "\xff"} {
			for _, path := range []string{checkInPath, connectPath} {
				status, _ := p.putRaw(path, contentType, idle, "")
				p.check(fmt.Sprintf("%.20q at %s is answered 415", contentType, path), status == http.StatusUnsupportedMediaType, status)
			}
		}
		// Over HTTP/1.1: an HTTP/2 client knows the limit and does not even try.
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsFor(p.Roots)}}
		defer client.CloseIdleConnections()
		for _, header := range []string{"Mdm-Signature", "Cookie", "X-Whatever"} {
			req, err := http.NewRequestWithContext(p.ctx, http.MethodPut, p.url+connectPath, bytes.NewReader(idle))
			p.must(err)
			req.Header.Set("Content-Type", connectType)
			req.Header.Set(header, strings.Repeat("A", 128<<10))
			res, err := client.Do(req)
			p.must(err)
			res.Body.Close()
			p.check("128 KiB of "+header+" are answered 431", res.StatusCode == http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
		}
		status, _ := p.putRaw(connectPath, connectType, idle, strings.Repeat("A", 40<<10))
		p.check("40 KiB of signature are answered 400", status == http.StatusBadRequest, status)
		p.stillServes("HONEST000003")
	})
}
