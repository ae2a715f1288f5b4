package app

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/admin"
)

// strangers bounds what who is not enrolled may ask of the device endpoints:
// pages, profiles and certificates cost more to make than to ask for. What
// enrolled devices send is not counted.
type strangers struct{ limiter *admin.Limiter }

// heard says whether a request may go on; one that may not is answered 429,
// never 401, by which a device would understand that it is not managed any more.
func (s strangers) heard(w http.ResponseWriter, r *http.Request) bool {
	wait := s.limiter.Take(admin.RemoteClient(remoteSeen(r)))
	if wait == 0 {
		return true
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	http.Error(w, "There are too many requests from this network. Please try again in "+max(wait.Round(time.Second), time.Second).String()+".", http.StatusTooManyRequests)
	return false
}

// limit counts all requests to h.
func (s strangers) limit(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.heard(w, r) {
			h.ServeHTTP(w, r)
		}
	})
}

// remoteOf is where a request comes from: the peer, or where that is one of our
// proxies, the nearest address before them that X-Forwarded-For names.
func remoteOf(r *http.Request, proxies []netip.Prefix) string {
	ours := func(addr netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap().WithZone("")) })
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !ours(peer.Addr()) {
		return r.RemoteAddr
	}
	remote := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break // what is before it nobody of ours has seen
		}
		if remote = addr.String(); !ours(addr) {
			break
		}
	}
	return remote
}

// remoteSeen is what observe found out with remoteOf.
func remoteSeen(r *http.Request) string {
	info, _ := r.Context().Value(requestKey{}).(requestInfo)
	return info.remote
}

// fromAfar gives h requests that name where they come from, and not the proxy.
// Check-in and connect need the proxy: its headers are believed by its address.
func fromAfar(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = remoteSeen(r)
		h.ServeHTTP(w, r)
	})
}
