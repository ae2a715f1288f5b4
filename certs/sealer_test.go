package certs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcall/certs"
)

func testKey(b byte) (k certs.Key) {
	for i := range k {
		k[i] = b
	}
	return k
}

func TestSealAndOpen(t *testing.T) {
	s := must(certs.NewSealer(testKey(1)))
	for _, plain := range []string{"", "x", strings.Repeat("secret ", 1000)} {
		sealed := must(s.Seal("devices/1/unlock_token", []byte(plain)))
		if len(plain) > 3 && bytes.Contains(sealed, []byte(plain[:4])) {
			t.Error("plaintext inside")
		}
		got, err := s.Open("devices/1/unlock_token", sealed)
		if err != nil || string(got) != plain {
			t.Errorf("%d bytes: %v", len(plain), err)
		}
		if again := must(s.Seal("devices/1/unlock_token", []byte(plain))); bytes.Equal(again, sealed) {
			t.Error("sealing twice gives the same bytes")
		}
	}
	if _, err := s.Seal("", []byte("x")); err == nil {
		t.Error("sealed without a purpose")
	}
}

func TestOpenRefuses(t *testing.T) {
	s := must(certs.NewSealer(testKey(1)))
	const plain = "unlock token"
	sealed := must(s.Seal("devices/1/unlock_token", []byte(plain)))
	other := must(must(certs.NewSealer(testKey(2))).Seal("devices/1/unlock_token", []byte(plain)))
	for _, tt := range []struct {
		name    string
		purpose string
		sealed  []byte
		want    error
	}{
		{"other row", "devices/2/unlock_token", sealed, certs.ErrSealedTampered},
		{"other key", "devices/1/unlock_token", other, certs.ErrSealedKey},
		{"cut off", "devices/1/unlock_token", sealed[:len(sealed)-1], certs.ErrSealedTampered},
		{"prefix only", "devices/1/unlock_token", sealed[:9], certs.ErrSealedTampered},
		{"nothing", "devices/1/unlock_token", nil, certs.ErrSealedFormat},
		{"plaintext", "devices/1/unlock_token", []byte(plain), certs.ErrSealedFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Open(tt.purpose, tt.sealed)
			if !errors.Is(err, tt.want) || got != nil {
				t.Fatalf("%q, %v; want %v", got, err, tt.want)
			}
			if strings.Contains(err.Error(), plain) {
				t.Error("the error carries plaintext")
			}
		})
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.Open("devices/1/unlock_token", changed); err == nil {
			t.Fatalf("opened with bit %d changed", 8*i)
		}
	}
}

func TestRotation(t *testing.T) {
	before := must(certs.NewSealer(testKey(1)))
	during := must(certs.NewSealer(testKey(2), testKey(1)))
	after := must(certs.NewSealer(testKey(2)))
	old := must(before.Seal("p", []byte("x")))
	if during.Current(old) || !before.Current(old) {
		t.Error("Current is wrong about the old key")
	}
	fresh := must(during.Seal("p", must(during.Open("p", old))))
	if !during.Current(fresh) {
		t.Error("Current is wrong about the new key")
	}
	if got, err := after.Open("p", fresh); err != nil || string(got) != "x" {
		t.Error(err)
	}
	if _, err := after.Open("p", old); !errors.Is(err, certs.ErrSealedKey) {
		t.Error(err)
	}
}

func TestKeysAreChecked(t *testing.T) {
	if _, err := certs.NewSealer(certs.Key{}); err == nil {
		t.Error("a key of zeros was accepted")
	}
	k := testKey(0xfb)
	for name, text := range map[string]string{
		"hex":                hex.EncodeToString(k[:]),
		"upper-case hex":     strings.ToUpper(hex.EncodeToString(k[:])) + "\n",
		"base64":             " " + base64.StdEncoding.EncodeToString(k[:]),
		"base64url unpadded": base64.RawURLEncoding.EncodeToString(k[:]),
	} {
		if got, err := certs.ParseKey(text); err != nil || got != k {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "secret", hex.EncodeToString(k[:31]), base64.StdEncoding.EncodeToString(k[:16])} {
		if _, err := certs.ParseKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if s := fmt.Sprintf("%v %s %#v", k, k, k); strings.Contains(s, "251") || strings.Contains(s, "fb") {
		t.Errorf("a printed key shows itself: %s", s)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var keys [8]certs.Key
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], _ = certs.LoadOrCreateKeyFile(path) })
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == (certs.Key{}) {
			t.Fatal("processes that started at once have different keys")
		}
	}
	if info := must(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if files := must(os.ReadDir(filepath.Dir(path))); len(files) != 1 {
		t.Errorf("%d files left behind", len(files))
	}

	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.LoadOrCreateKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for name, content := range map[string]string{"empty": "", "garbage": "not a key"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.LoadOrCreateKeyFile(path); err == nil || content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certs.LoadOrCreateKeyFile(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("created a key in a folder that does not exist")
	}
	if _, err := certs.LoadOrCreateKeyFile(t.TempDir()); err == nil {
		t.Error("a folder passed for a key file")
	}
}
