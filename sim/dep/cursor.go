package dep

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	cursorLife = 7 * 24 * time.Hour
	maxCursor  = 1000
)

// position is what a cursor stands for. A fetch walks members[next:end] as
// they were when it began; when it is done the cursor is one for sync, which
// walks changes[next:].
type position struct {
	fetching bool
	next     int // index of members or changes
	end      int // fetch: how far members reached at the start
	then     int // fetch: where the stream of changes stood at the start
	issued   time.Time
	epoch    int
}

// cursor seals a position for the account. Every cursor is as long as Apple
// allows, so that a client's column or limit that is too short shows.
func (a *Account) cursor(p position) string {
	raw := make([]byte, maxCursor/4*3)
	var kind uint64
	if p.fetching {
		kind = 1
	}
	for i, n := range []uint64{kind, uint64(p.next), uint64(p.end), uint64(p.then), uint64(p.issued.UnixNano()), uint64(p.epoch)} {
		binary.BigEndian.PutUint64(raw[8*i:], n)
	}
	body := raw[:len(raw)-sha256.Size]
	rand.Read(body[48:])
	copy(raw[len(body):], a.sealCursor(body))
	return base64.URLEncoding.EncodeToString(raw)
}

// readCursor is the reverse of cursor; false for what this account did not get.
func (a *Account) readCursor(s string) (position, bool) {
	raw, err := base64.URLEncoding.DecodeString(s)
	if err != nil || len(raw) != maxCursor/4*3 {
		return position{}, false
	}
	body := raw[:len(raw)-sha256.Size]
	if !hmac.Equal(raw[len(body):], a.sealCursor(body)) {
		return position{}, false
	}
	n := func(i int) int { return int(binary.BigEndian.Uint64(raw[8*i:])) }
	return position{fetching: n(0) == 1, next: n(1), end: n(2), then: n(3), issued: time.Unix(0, int64(n(4))), epoch: n(5)}, true
}

func (a *Account) sealCursor(body []byte) []byte {
	mac := hmac.New(sha256.New, a.cloud.key[:])
	mac.Write([]byte(a.uuid))
	mac.Write(body)
	return mac.Sum(nil)
}

func (a *Account) expired(p position) bool {
	return p.epoch != a.epoch || a.cloud.now().Sub(p.issued) > cursorLife
}
