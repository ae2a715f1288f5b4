package scep

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"rollcall/certs"
	"rollcall/certs/cms"
)

// Issuer decides whether a request gets a certificate; *certs.Identities is one.
// The errors named in package certs are refusals, all others are failures of the
// server.
type Issuer interface {
	Enroll(ctx context.Context, challenge string, csr *x509.CertificateRequest) (*x509.Certificate, error)
	Renew(ctx context.Context, current *x509.Certificate, csr *x509.CertificateRequest) (*x509.Certificate, error)
}

// capabilities is the answer to GetCACaps (RFC 8894 section 3.5.2). Old clients
// without AES and SHA-256 are served although DES is not announced.
const capabilities = "AES\nDES3\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-512\nSCEPStandard\n"

const retryAfterSeconds = "30"

// Server answers SCEP requests at whatever path it is mounted.
type Server struct {
	authority *certs.Authority
	issuer    Issuer
	log       *slog.Logger
}

// New returns a SCEP server for authority. Mount it where the SCEP payload's URL
// points; it looks at the query only.
func New(authority *certs.Authority, issuer Issuer, logger *slog.Logger) *Server {
	return &Server{authority: authority, issuer: issuer, log: logger}
}

// ServeHTTP dispatches on the operation parameter: GET for all operations, POST
// for PKIOperation.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch operation := r.URL.Query().Get("operation"); {
	case operation == "GetCACaps" && r.Method == http.MethodGet:
		write(w, "text/plain", []byte(capabilities))
	case operation == "GetCACert" && r.Method == http.MethodGet:
		write(w, "application/x-x509-ca-cert", s.authority.Certificate().Raw)
	case operation == "PKIOperation":
		s.pkiOperation(w, r)
	default:
		http.Error(w, "unknown operation", http.StatusBadRequest)
	}
}

func (s *Server) pkiOperation(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	message, err := readMessage(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		s.log.InfoContext(ctx, "scep: unreadable request", "status", status, "err", err)
		http.Error(w, "unreadable message", status)
		return
	}
	request, err := parseRequest(message)
	if err != nil {
		s.log.InfoContext(ctx, "scep: undecodable message", "status", http.StatusBadRequest, "err", err)
		http.Error(w, "not a SCEP message", http.StatusBadRequest)
		return
	}
	answer, err := s.answer(ctx, request)
	if refused := (*failure)(nil); errors.As(err, &refused) {
		s.log.InfoContext(ctx, "scep: refused", "type", request.messageType, "fail_info", refused.info, "err", refused.err)
		answer, err = request.failure(s.authority, refused.info)
	}
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			status = http.StatusServiceUnavailable
		}
		s.log.ErrorContext(ctx, "scep: failed", "type", request.messageType, "status", status, "err", err)
		w.Header().Set("Retry-After", retryAfterSeconds)
		http.Error(w, http.StatusText(status), status)
		return
	}
	write(w, "application/x-pki-message", answer)
}

// answer returns the CertRep for a granted request. A *failure is a refusal, any
// other error is the server's own.
func (s *Server) answer(ctx context.Context, r *request) ([]byte, error) {
	if r.messageType != typePKCSReq && r.messageType != typeRenewalReq {
		return nil, &failure{badRequest, errors.New("scep: message type is not served")}
	}
	signer, csr, cipher, err := r.open(s.authority)
	if err != nil {
		return nil, err
	}
	var cert *x509.Certificate
	if r.messageType == typeRenewalReq {
		cert, err = s.issuer.Renew(ctx, signer, csr)
	} else {
		cert, err = s.issuer.Enroll(ctx, challengePassword(csr), csr)
	}
	if err != nil {
		return nil, refusal(err)
	}
	answer, err := r.success(s.authority, signer, cert, cipher)
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "scep: issued", "type", r.messageType, "cipher", cipher, "digest", r.digest, "fingerprint", certs.Fingerprint(cert))
	return answer, nil
}

// refusals is the one place where an Issuer's error becomes SCEP's.
var refusals = []struct {
	err  error
	info failInfo
}{
	{certs.ErrRequestKey, badAlg},
	{certs.ErrRequestSignature, badMessageCheck},
	{certs.ErrChallengeUnknown, badRequest},
	{certs.ErrChallengeUsed, badRequest},
	{certs.ErrChallengeExpired, badRequest},
	{certs.ErrIdentityRevoked, badRequest},
	{certs.ErrIdentityPurpose, badRequest},
	{certs.ErrIdentityUnknown, badCertID},
	{certs.ErrNotOurs, badCertID},
}

func refusal(err error) error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &failure{r.info, err}
		}
	}
	return err
}

// readMessage finds the CMS message: in the body of a POST, or base64 in the
// query of a GET. Some clients POST with an empty body and the message in the
// query, some forget to escape '+' in it, so that it arrives as a space.
func readMessage(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, cms.MaxBytes))
		if err != nil || len(body) > 0 {
			return body, err
		}
	}
	text := r.URL.Query().Get("message")
	if base64.RawStdEncoding.DecodedLen(len(text)) > cms.MaxBytes {
		return nil, &http.MaxBytesError{Limit: cms.MaxBytes}
	}
	text = strings.NewReplacer(" ", "+", "\r", "", "\n", "").Replace(text)
	text = strings.TrimRight(text, "=")
	if text == "" {
		return nil, errors.New("scep: no message")
	}
	return base64.RawStdEncoding.DecodeString(text)
}

func write(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
