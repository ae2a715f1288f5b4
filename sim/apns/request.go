package apns

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"rollcall/sim/applepki"
)

type connKey struct{}

// conn remembers the verdict on the client certificate of a connection.
type conn struct {
	once  sync.Once
	topic string // empty: the certificate is no good
}

func (n *conn) judge(certs []*x509.Certificate, roots *x509.CertPool) string {
	n.once.Do(func() {
		if len(certs) == 0 {
			return
		}
		_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err == nil {
			n.topic = applepki.TopicOf(certs[0])
		}
	})
	return n.topic
}

const (
	path       = "/3/device/"
	maxPayload = 4096
)

// rejection is an answer other than 200.
type rejection struct {
	status    int
	reason    string
	timestamp int64 // unix milliseconds, with 410
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Apns-Id")
	if _, err := uuid.Parse(id); err != nil {
		if id != "" {
			c.reject(w, uuid.NewString(), rejection{status: http.StatusBadRequest, reason: "BadMessageId"})
			return
		}
		id = strings.ToUpper(uuid.NewString())
	}
	d, magic, bad := c.judge(r)
	if bad != nil {
		c.reject(w, id, *bad)
		return
	}
	c.accepted.Add(1)
	if magic == d.magic {
		c.deliver(d)
	} else {
		c.count(WrongMagic)
	}
	w.Header()["Apns-Id"] = []string{id}
	w.WriteHeader(http.StatusOK)
}

func (c *Cloud) reject(w http.ResponseWriter, id string, bad rejection) {
	c.count(bad.reason)
	w.Header().Set("Apns-Id", id)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(bad.status)
	body := map[string]any{"reason": bad.reason}
	if bad.timestamp != 0 {
		body["timestamp"] = bad.timestamp
	}
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// judge finds the device a request is for and the magic it carries.
func (c *Cloud) judge(r *http.Request) (*device, string, *rejection) {
	bad := func(status int, reason string) (*device, string, *rejection) {
		return nil, "", &rejection{status: status, reason: reason}
	}
	token, ok := strings.CutPrefix(r.URL.Path, path)
	switch {
	case r.ProtoMajor != 2:
		return bad(http.StatusHTTPVersionNotSupported, "HTTPVersionNotSupported")
	case !ok || strings.Contains(token, "/"):
		return bad(http.StatusNotFound, "BadPath")
	case r.Method != http.MethodPost:
		return bad(http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
	own := r.Context().Value(connKey{}).(*conn).judge(r.TLS.PeerCertificates, c.pushCA)
	if own == "" {
		return bad(http.StatusForbidden, "BadCertificate")
	}
	if f := c.spoil(); f != nil {
		return nil, "", f
	}
	if reason := badHeader(r.Header, own); reason != "" {
		return bad(http.StatusBadRequest, reason)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err != nil || len(body) == 0:
		return bad(http.StatusBadRequest, "PayloadEmpty")
	case len(body) > maxPayload:
		return bad(http.StatusRequestEntityTooLarge, "PayloadTooLarge")
	}
	magic, ok := readMagic(body)
	if !ok {
		return bad(http.StatusBadRequest, "BadMessage")
	}
	d, ok := c.lookup(token)
	if !ok {
		return bad(http.StatusBadRequest, "BadDeviceToken")
	}
	if d.topic != own {
		return bad(http.StatusBadRequest, "DeviceTokenNotForTopic")
	}
	if gone := d.goneAt.Load(); gone != 0 {
		return nil, "", &rejection{http.StatusGone, "Unregistered", gone}
	}
	return d, magic, nil
}

// spoil uses up one failure of FailNext.
func (c *Cloud) spoil() *rejection {
	if c.failing.Load() <= 0 || c.failing.Add(-1) < 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &rejection{status: c.failure.status, reason: c.failure.reason}
}

// badHeader returns the reason against the first bad header, empty for none.
func badHeader(h http.Header, own string) string {
	topic := h.Get("Apns-Topic")
	expiration, err := strconv.ParseInt(h.Get("Apns-Expiration"), 10, 64)
	switch priority := h.Get("Apns-Priority"); {
	case topic == "":
		return "MissingTopic"
	case !strings.HasPrefix(topic, "com.apple.mgmt."):
		return "BadTopic"
	case topic != own:
		return "TopicDisallowed"
	case h.Get("Apns-Push-Type") != "mdm":
		return "InvalidPushType"
	case err != nil || expiration <= 0:
		return "BadExpirationDate"
	case priority != "" && priority != "10" && priority != "5" && priority != "1":
		return "BadPriority"
	}
	return ""
}

// readMagic reads {"mdm":"<PushMagic>"}, with nothing beside it.
func readMagic(body []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"mdm":"`))
	if magic, ok2 := bytes.CutSuffix(rest, []byte(`"}`)); ok && ok2 && !bytes.ContainsAny(magic, `"\`) {
		return string(magic), len(magic) != 0
	}
	var m map[string]string // other white space, or escapes
	if json.Unmarshal(body, &m) != nil || len(m) != 1 {
		return "", false
	}
	return m["mdm"], m["mdm"] != ""
}
