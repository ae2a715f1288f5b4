package stage

import (
	"net/http"
	"strconv"
	"testing"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	"rollcall/sim/plist"
)

// TestStrangersAreBounded: an address that asks too much is put off at every
// door for who is not enrolled, and only there; nobody is told 401.
func TestStrangersAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeOff)
		inside := p.phone("STRANGE00001").enroll(p.url + "/enroll")
		ask := func(path string, header ...string) (*http.Response, string) {
			res, body := p.send(http.MethodGet, path, "", nil, header...)
			return res, string(body)
		}
		exhaust := func() {
			for n := 0; ; n++ {
				if res, _ := ask("/enroll/ota"); res.StatusCode == http.StatusTooManyRequests {
					return
				} else if n > 1000 {
					t.Fatal("a thousand requests passed")
				}
			}
		}
		late := p.phone("STRANGE00002", tamper("Authenticate", func(plist.Dict) { exhaust() }))
		refused := late.turnedAway(late.Install(p.ctx, p.otaProfile("")))
		p.check("Authenticate is put off", refused.Status == http.StatusTooManyRequests, refused)
		for _, path := range []string{"/enroll", "/enroll/ota", "/enroll/profile", "/enroll/r/unknown", "/scep?operation=GetCACert"} {
			res, body := ask(path)
			after, err := strconv.Atoi(res.Header.Get("Retry-After"))
			p.check(path+" is put off and says how long", res.StatusCode == http.StatusTooManyRequests && err == nil && after > 0, res.StatusCode, res.Header)
			p.noInternals(body)
		}
		res, _ := ask("/enroll/ota", "X-Forwarded-For", "192.0.2.7")
		p.check("another address behind the same proxy passes", res.StatusCode == http.StatusOK, res.StatusCode)

		inside.connect()
		p.must(inside.SendTokenUpdate(p.ctx))
		id := p.command("STRANGE00001", "DeviceInformation", object{"Queries": []string{"SerialNumber"}})
		p.check("who is enrolled is served as ever", p.done("STRANGE00001", id).State == "acknowledged")
	}, func(o *Options) {
		o.Change = func(a *app.Options) {
			a.StrangerRate, a.StrangerBurst, a.Proxies = 0.001, 60, []string{"127.0.0.0/8"}
		}
	})
}
