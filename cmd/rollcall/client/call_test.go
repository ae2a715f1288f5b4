package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// connected is a session with a server that answers as handle says.
func connected(t *testing.T, handle http.HandlerFunc) *Session {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	return &Session{Server: server.URL, Token: "secret", Timeout: time.Minute, Output: formTable}
}

func refusal(t *testing.T, err error, exit int, words string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.ExitCode() != exit || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want exit code %d and %q", err, exit, words)
	}
}

// TestPatience repeats what the server asks to repeat, with one and the same
// key, and nothing else.
func TestPatience(t *testing.T) {
	again := func(status int, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if len(header) > 0 {
				w.Header().Set("Retry-After", header[0])
			}
			w.WriteHeader(status)
			io.WriteString(w, `{"code":"later","detail":"not now"}`)
		}
	}
	for _, test := range []struct {
		name   string
		method string
		answer func(http.ResponseWriter)
		calls  int
	}{
		{"429 of a POST", "POST", again(429, "0"), maxAttempts},
		{"429 of a PATCH", "PATCH", again(429, "0"), maxAttempts},
		{"503 of a GET", "GET", again(503, "0"), maxAttempts},
		{"503 of a POST", "POST", again(503, "0"), maxAttempts},
		{"503 of a PATCH", "PATCH", again(503, "0"), 1},
		{"503 without an hour", "GET", again(503), 1},
		{"a date that has passed", "GET", again(503, "Sun, 06 Nov 1994 08:49:37 GMT"), maxAttempts},
		{"a wait that is too long", "GET", again(503, "3600"), 1},
		{"a failure", "GET", again(500, "0"), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, keys := 0, map[string]bool{}
			s := connected(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				keys[r.Header.Get("Idempotency-Key")] = true
				body, _ := io.ReadAll(r.Body)
				if string(body) != `{"a":1}` {
					t.Errorf("call %d has the body %q", calls, body)
				}
				test.answer(w)
			})
			_, err := s.do(t.Context(), call{method: test.method, path: "/x", body: map[string]int{"a": 1}})
			refusal(t, err, exitFailed, "not now")
			if calls != test.calls {
				t.Errorf("%d calls were made, want %d", calls, test.calls)
			}
			if len(keys) != 1 || keys[""] == (test.method == "POST") {
				t.Errorf("the keys were %v", keys)
			}
		})
	}
}

func TestRepetitionSucceeds(t *testing.T) {
	calls := 0
	s := connected(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
			return
		}
		io.WriteString(w, `{"ok":true}`)
	})
	raw, err := s.do(t.Context(), get("/x", nil))
	if err != nil || string(raw) != `{"ok":true}` {
		t.Errorf("got %s, %v", raw, err)
	}
}

// TestStalled gives up a server that stops talking, before and in its answer.
func TestStalled(t *testing.T) {
	for name, begin := range map[string]string{"nothing": "", "half an answer": `{"a":`} {
		t.Run(name, func(t *testing.T) {
			s := connected(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					io.WriteString(w, begin)
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			s.Timeout = 50 * time.Millisecond
			_, err := s.do(t.Context(), get("/x", nil))
			refusal(t, err, exitFailed, "nothing came")
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := connected(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := s.do(ctx, get("/x", nil))
	refusal(t, err, exitFailed, "interrupted")
}

// TestStrangers meets servers that are not this API.
func TestStrangers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		words  string
	}{
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "does not answer as this API does"},
		{"an error page", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 404) }, "404 Not Found"},
		{"somewhere else", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/x" {
				t.Errorf("the client followed to %s", r.URL)
			}
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "302 Found"},
		{"too much", func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range maxAnswer>>20 + 1 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "more than 64 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := connected(t, test.answer).do(t.Context(), get("/x", nil))
			refusal(t, err, exitFailed, test.words)
		})
	}
}

func TestProblems(t *testing.T) {
	for status, exit := range map[int]int{400: exitInvalid, 413: exitInvalid, 422: exitInvalid, 409: exitConflict, 401: exitFailed, 403: exitFailed, 404: exitFailed, 500: exitFailed} {
		s := connected(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, `{"code":"bad","detail":"2 rows are wrong","hint":"Mend them.","errors":[
				{"line":3,"column":"platform","value":"\u001b[2Jipad","code":"x","detail":"no such platform","hint":"Use ios."},{"line":4,"column":"email","code":"x","detail":"missing"}]}`)
		})
		_, err := s.do(t.Context(), get("/x", nil))
		refusal(t, err, exit, "2 rows are wrong\n  line 3, platform \"\\x1b[2Jipad\": no such platform -> Use ios.\n  line 4, email: missing\n  -> Mend them.")
	}
}

// TestConnection refuses what would give the token away.
func TestConnection(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	for name, s := range map[string]*Session{
		"the URL of a server":         {Server: "mdm.example.com", Token: "t"},
		"show the token":              {Server: "http://mdm.example.com", Token: "t"},
		"no API token":                {Server: "https://mdm.example.com"},
		"no such file":                {Server: "https://mdm.example.com", TokenFile: "/nowhere/token"},
		"no certificate in PEM":       {Server: "https://mdm.example.com", Token: "t", CAFile: "call_test.go"},
		"is not the URL":              {Server: "https://user@mdm.example.com", Token: "t"},
		"\"ftp://mdm.example.com\" i": {Server: "ftp://mdm.example.com", Token: "t"},
	} {
		refusal(t, s.connect(), exitInvalid, name)
	}
}

// TestSavedTokenStays keeps the token of login from every other server.
func TestSavedTokenStays(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	path, err := savedPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(path, []byte(`{"server":"https://a.example.com","token":"of a","insecure":true}`)); err != nil {
		t.Fatal(err)
	}
	a := &Session{}
	if err := a.connect(); err != nil || a.base.Host != "a.example.com" || a.secret != "of a" || !a.Insecure {
		t.Errorf("the login is not used: %v, %+v", err, a)
	}
	refusal(t, (&Session{Server: "https://b.example.com"}).connect(), exitInvalid, "no API token for https://b.example.com")
	b := &Session{Server: "https://b.example.com", Token: "of b"}
	if err := b.connect(); err != nil || b.secret != "of b" || b.Insecure {
		t.Errorf("the login of another server is used: %v, %+v", err, b)
	}
}

// TestCutShort takes a part of an export for what it is, whichever version of
// HTTP it came by, and leaves no file.
func TestCutShort(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := connected(t, nil)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (r.ProtoMajor == 2) != h2 {
				t.Errorf("the export came by %s", r.Proto)
			}
			if r.Header.Get("Accept") != "text/csv" || r.URL.Query().Get("tag") != "x" {
				t.Errorf("the client asked for %s as %s", r.URL, r.Header.Get("Accept"))
			}
			io.WriteString(w, "serial\n")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		server.EnableHTTP2 = h2
		server.StartTLS()
		defer server.Close()
		s.Server, s.Insecure = server.URL, true
		dir := t.TempDir()
		c := exportDevices{deviceFilter{Tag: "x"}, exported{File: filepath.Join(dir, "devices.csv")}}
		refusal(t, c.Run(t.Context(), s), exitFailed, "what is there is not whole")
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("there is %v, %v", left, err)
		}
	}
}

// TestTamperedLog fails where the log does not hold.
func TestTamperedLog(t *testing.T) {
	s := connected(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"intact":false,"entries":6,"broken":7,"reason":"changed"}`)
	})
	refusal(t, (&auditVerify{}).Run(t.Context(), s), exitFailed, "does not hold from entry 7 on")
}
