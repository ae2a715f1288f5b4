package cms

import (
	"bytes"
	"os"
	"testing"
)

func FuzzParseSigned(f *testing.F) {
	p := rsaParty(f)
	der := must(Sign([]byte("content"), p.cert, p.key))
	f.Add(der)
	f.Add(indefinite(f, der, 5, 3))
	f.Add(must(Degenerate(p.cert)))
	f.Fuzz(func(t *testing.T, message []byte) {
		checkNormalised(t, message)
		s, err := ParseSigned(message)
		if err != nil {
			return
		}
		s.Digest()
		if signer, err := s.Verify(); err == nil && signer == nil {
			t.Error("verified without a signer")
		}
		VerifyDetached(message, []byte("content"))
	})
}

func FuzzDecrypt(f *testing.F) {
	p := rsaParty(f)
	for algorithm := range ciphers {
		f.Add(must(Encrypt([]byte("content"), p.cert, algorithm)))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		checkNormalised(t, message)
		Decrypt(message, p.cert, rsaKey())
	})
}

// checkNormalised: what passed the door is DER as far as lengths go, and passes
// it again unchanged.
func checkNormalised(t *testing.T, message []byte) {
	once, err := normalise(message)
	if err != nil {
		return
	}
	rewrite, err := scan(once, nil)
	if err != nil || rewrite {
		t.Fatalf("normalised message does not pass again: rewrite %v, %v", rewrite, err)
	}
	twice, err := normalise(once)
	if err != nil || !bytes.Equal(once, twice) {
		t.Fatal("normalising twice makes a difference")
	}
}

func TestFuzzCorpusIsNotEmpty(t *testing.T) {
	for _, target := range []string{"FuzzParseSigned", "FuzzDecrypt"} {
		files, err := os.ReadDir("testdata/fuzz/" + target)
		if err != nil || len(files) < 3 {
			t.Errorf("%s: %d files, %v", target, len(files), err)
		}
	}
}
