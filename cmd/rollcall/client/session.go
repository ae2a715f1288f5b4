package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// defaultServer is where `rollcall serve` listens without any configuration.
const defaultServer = "https://localhost:8443"

// Session is a connection to a server and the form of output. Commands get it
// from the group they are in.
type Session struct {
	Server    string        `help:"URL of the server; default: https://localhost:8443." placeholder:"URL" group:"Connection" env:"ROLLCALL_SERVER"`
	Token     string        `help:"API token. Others on this machine can read it on the command line: better use the environment, --token-file or rollcall login." placeholder:"TOKEN" group:"Connection" env:"ROLLCALL_TOKEN"`
	TokenFile string        `help:"File that holds the API token." placeholder:"FILE" group:"Connection" env:"ROLLCALL_TOKEN_FILE"`
	CAFile    string        `help:"Certificates in PEM that the server is trusted by; default: the system's." name:"ca-file" placeholder:"FILE" group:"Connection" env:"ROLLCALL_CA_FILE"`
	Insecure  bool          `help:"Do not check the server's certificate. For trials on this machine." group:"Connection" env:"ROLLCALL_INSECURE"`
	Timeout   time.Duration `help:"Give up when nothing has moved for so long." default:"1m" group:"Connection"`
	Output    string        `help:"table, json (the objects of the API as they are) or csv." short:"o" enum:"table,json,csv" default:"table" group:"Connection"`

	client *http.Client
	base   *url.URL
	secret string
}

// AfterApply gives the commands of the group their session.
func (s *Session) AfterApply(k *kong.Context) error {
	if s.Timeout <= 0 {
		return errors.New("--timeout is not a positive duration")
	}
	k.Bind(s)
	return nil
}

// saved is the file that login writes.
type saved struct {
	Server   string `json:"server"`
	Token    string `json:"token"`
	CAFile   string `json:"ca_file,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
}

func savedPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the configuration of the command line: %w", err)
	}
	return filepath.Join(dir, "rollcall", "client.json"), nil
}

// readSaved gives what login wrote; the zero value where there is nothing.
func readSaved() (saved, error) {
	var out saved
	path, err := savedPath()
	if err != nil {
		return out, nil // without a home there is no such file
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, usage("Run rollcall login again.", "%s is not what login wrote: %v", path, err)
	}
	return out, nil
}

// connect makes flags, environment and saved login one connection. A saved
// token goes to the server it was saved for and to no other.
func (s *Session) connect() error {
	if s.client != nil {
		return nil
	}
	login, err := readSaved()
	if err != nil {
		return err
	}
	server := s.Server
	if server == "" {
		server = login.Server
	}
	if server == "" {
		server = defaultServer
	}
	if s.base, err = parseServer(server); err != nil {
		return err
	}
	if s.secret, err = s.givenToken(); err != nil {
		return err
	}
	if old, err := parseServer(login.Server); err == nil && *old == *s.base {
		if s.secret == "" {
			s.secret = login.Token
		}
		if s.CAFile == "" && !s.Insecure {
			s.CAFile, s.Insecure = login.CAFile, login.Insecure
		}
	}
	if s.secret == "" {
		return usage("Set ROLLCALL_TOKEN or --token-file, or run rollcall login. The server prints the first token when it starts for the first time; rollcall recover-token makes another.", "there is no API token for %s", s.base)
	}
	s.client, err = newClient(s.CAFile, s.Insecure)
	return err
}

// givenToken is the token of the flags and the environment, or empty.
func (s *Session) givenToken() (string, error) {
	if s.TokenFile == "" || s.Token != "" {
		return strings.TrimSpace(s.Token), nil
	}
	b, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", usage("", "--token-file: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func parseServer(server string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(server, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, usage("Give it as https://mdm.example.com.", "%q is not the URL of a server", server)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, usage("Use https.", "%s would show the token to everybody on the way", server)
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// newClient makes an HTTP client that follows no redirect: one would take the
// token to another place.
func newClient(caFile string, insecure bool) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSHandshakeTimeout = 15 * time.Second
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if caFile != "" && !insecure {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, usage("", "--ca-file: %v", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("", "--ca-file: %s holds no certificate in PEM", caFile)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
