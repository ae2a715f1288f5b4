package google

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"

	"rollcall/enroll"
)

// maxKeyBytes bounds a service-account key; Google's are about 2.4 KB.
const maxKeyBytes = 64 << 10

// ServiceAccount is what a service-account key says. Make one with
// ParseServiceAccount.
type ServiceAccount struct {
	ProjectID   string
	ClientEmail string
	TokenURI    string // https, or http on this machine
	KeyID       string

	key *rsa.PrivateKey
}

// ParseServiceAccount reads a key as Google's console gives it (JSON). Errors
// are enroll.KindInvalid and quote nothing of the key.
func ParseServiceAccount(data []byte) (ServiceAccount, error) {
	invalid := func(text string) (ServiceAccount, error) {
		return ServiceAccount{}, enroll.Errorf(enroll.KindInvalid, "service_account_invalid", "the service-account key is not usable: %s", text).
			WithHint("Create a key of type JSON for the service account in Google's console and give the whole file.")
	}
	if len(data) > maxKeyBytes {
		return invalid("it is too large")
	}
	var file struct {
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		ClientEmail  string `json:"client_email"`
		TokenURI     string `json:"token_uri"`
	}
	if json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &file) != nil {
		return invalid("it is not JSON")
	}
	if file.Type != "service_account" {
		return invalid("its type is not service_account")
	}
	if file.ClientEmail == "" || file.ProjectID == "" {
		return invalid("client_email or project_id is missing")
	}
	if u, err := url.Parse(file.TokenURI); err != nil || u.Host == "" || u.Scheme != "https" && !local(u) {
		return invalid("token_uri is not an https address")
	}
	block, _ := pem.Decode([]byte(file.PrivateKey))
	if block == nil {
		return invalid("private_key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return invalid("private_key is not PKCS #8")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < 2048 {
		return invalid("private_key is not an RSA key of 2048 bits or more")
	}
	return ServiceAccount{ProjectID: file.ProjectID, ClientEmail: file.ClientEmail, TokenURI: file.TokenURI, KeyID: file.PrivateKeyID, key: key}, nil
}

// CheckIssuer refuses a key whose tokens somebody else than Google would issue:
// this server would call any address that the file names. Error:
// enroll.KindInvalid.
func (a ServiceAccount) CheckIssuer() error {
	switch u, err := url.Parse(a.TokenURI); {
	case err == nil && u.Scheme == "https" && u.User == nil && (u.Host == "oauth2.googleapis.com" || u.Host == "accounts.google.com" || u.Host == "www.googleapis.com"):
		return nil
	}
	return enroll.Errorf(enroll.KindInvalid, "service_account_invalid", "the service-account key is not usable: token_uri is not an address of Google's").
		WithHint("Give the file as Google's console made it; its token_uri is https://oauth2.googleapis.com/token.")
}

// local says whether plain HTTP stays on this machine.
func local(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}
