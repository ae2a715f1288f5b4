package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"rollcall/enroll"
)

// Message is the JSON of an event, the same in webhooks, stream and list.
type Message struct {
	ID   string           `json:"id"`
	Type enroll.EventType `json:"type" example:"device.enrolled"`
	At   time.Time        `json:"at"`
	Data enroll.EventRefs `json:"data" doc:"What the event is about. Of a device there is its serial and nothing else; read the rest where it may be read."`
}

// MessageOf is the message of an event.
func MessageOf(e enroll.Event) Message {
	return Message{ID: e.ID, Type: e.Type, At: e.At.UTC(), Data: e.Refs}
}

func (m Message) json() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("event %s has no JSON: %w", m.ID, err)
	}
	return b, nil
}

// SecretPrefix starts every signing secret.
const SecretPrefix = "whsec_"

// NewSecret makes a signing secret of 256 random bits.
func NewSecret() string {
	var raw [32]byte
	rand.Read(raw[:])
	return SecretPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// The headers of a delivery.
const (
	HeaderSignature = "Rollcall-Signature" // t=UNIX SECONDS,v1=HEX
	HeaderDelivery  = "Rollcall-Delivery"  // ID of the delivery, the same each time
	HeaderEvent     = "Rollcall-Event"     // type of the event
)

// Sign gives the value of Rollcall-Signature: the HMAC-SHA256, with the whole
// secret as the key, over the time, a dot and the body.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
