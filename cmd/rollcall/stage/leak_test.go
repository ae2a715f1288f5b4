package stage

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// wiretap sees every answer that a phone gets.
type wiretap struct {
	next http.RoundTripper
	mu   sync.Mutex
	text strings.Builder
}

func (w *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = &tappedBody{res.Body, w}
	return res, nil
}

func (w *wiretap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

type tappedBody struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	w *wiretap
}

func (b *tappedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.w.mu.Lock()
	b.w.text.Write(p[:n])
	b.w.mu.Unlock()
	return n, err
}

func (b *tappedBody) Close() error { return b.body.Close() }

var challengeInProfile = regexp.MustCompile(`<key>Challenge</key>\s*<string>([^<]{8,})</string>`)

// TestNothingLeaks plays everything that touches a secret or a person with the
// log at its most talkative, and then looks for them there.
func TestNothingLeaks(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "SAMPLE0IPHONE1"
		file, err := os.ReadFile("../../../testdata/csv/sample.csv")
		p.must(err)
		p.admin(http.MethodPost, "/imports?domain=local&apply=true&file_name=sample.csv", Raw{"text/csv", file}, nil)
		p.group("Everybody", serial)
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"group": "Everybody"})
		p.restrict(enroll.ModeEnforce)
		r := p.invite(serial)

		tap := &wiretap{next: p.client.Transport}
		// A transport of its own has no client certificate; signed messages need none.
		tapped := func(c *iphone.Config) { c.Transport = tap }
		ph := p.phone(serial, supervised, tapped).enroll(r.Link)
		p.acknowledged(serial)
		secrets := map[string]string{"push magic": ph.PushMagic(), "admin token": p.Token, "request secret": r.secret(), "Wi-Fi password": wifiPassword}
		binary := map[string][]byte{"push token": ph.Token(), "unlock token": ph.UnlockToken(), "bootstrap token": []byte("bootstrap-token-of-the-device")}

		// Everything again that can go wrong, or right a second time.
		ph.checkIn(200, plist.Dict{"MessageType": "SetBootstrapToken", "BootstrapToken": binary["bootstrap token"]})
		ph.checkIn(400, plist.Dict{"MessageType": "GetToken", "TokenServiceType": "com.apple.maid"})
		ph.ask(400, plist.Dict{"Status": "Frobnicate"})
		p.check("renewed", p.done(serial, p.command(serial, mdm.ActionRenew, nil)).State == "acknowledged")
		secrets["renewed push magic"], binary["renewed push token"] = ph.PushMagic(), ph.Token()
		p.Push.FailNext(1, 400, "BadDeviceToken")
		p.command(serial, "ProfileList", nil)
		p.until("APNs has refused a push", func() bool { return p.rows("enrollments", "push_inactive_at <> 0") == 1 })
		stranger := p.phone("STRANGER0001", tapped)
		stranger.turnedAway(stranger.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		stranger.turnedAway(stranger.Install(p.ctx, p.plainProfile("")))
		var problem *Problem
		if err := p.APIAs(p.ctx, p.Token+"x", http.MethodGet, "/devices", nil, nil); !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
			t.Errorf("a wrong token: %v", err)
		}
		p.command(serial, "ClearPasscode", object{"UnlockToken": object{"$data": base64.StdEncoding.EncodeToString(binary["unlock token"])}})
		p.must(ph.SendTokenUpdate(p.ctx))
		p.until("nothing is open", func() bool { return p.rows("commands", "finished_at = 0") == 0 })
		p.must(ph.RemoveProfileByUser(p.ctx))

		challenges := challengeInProfile.FindAllStringSubmatch(tap.String(), -1)
		p.check("challenges went by", len(challenges) >= 3, len(challenges))
		for _, c := range challenges {
			secrets["challenge"+c[1][:4]] = c[1]
		}
		for name, b := range binary {
			secrets[name+" in base64"], secrets[name+" in hex"], secrets[name] = base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b), string(b)
		}
		for line := range strings.Lines(string(file)) {
			if cells := strings.Split(strings.ReplaceAll(line, `"`, ""), ","); !strings.HasPrefix(line, "name,") {
				for _, cell := range cells[:3] { // name (or its parts), e-mail, mobile
					if cell = strings.TrimSpace(cell); len(cell) > 3 {
						secrets["cell "+cell] = cell
					}
				}
			}
		}
		secrets["device name"] = "Anna's iPhone"
		p.check("there is much to look for", len(secrets) > 25, len(secrets))

		log := p.log.String()
		for _, line := range []string{"level=DEBUG", "level=INFO", "level=WARN"} {
			p.check("the log has "+line, strings.Contains(log, line))
		}
		for name, secret := range secrets {
			if at := strings.Index(log, secret); at >= 0 {
				t.Errorf("the log shows a %s: ...%s", name, log[max(0, at-200):min(len(log), at+len(secret)+50)])
			}
			if strings.HasPrefix(name, "push") || strings.HasPrefix(name, "renewed") || name == "admin token" || strings.Contains(secret, "@") {
				p.check("no answer to a phone has the "+name, !strings.Contains(tap.String(), secret))
			}
		}
	})
}
