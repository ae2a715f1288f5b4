package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
)

// Of a request with an Idempotency-Key the answer is kept, so that the same
// request can be made again without being done twice:
//
//	claim the key -> run, hashing the body on its way -> keep the answer
//	              -> it is kept already: same target and body -> the kept answer
//	                                     another one          -> 422
//	              -> it is running                            -> 409
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	// AnswerRetention is how long an answer is kept.
	AnswerRetention = 24 * time.Hour
	// answerLease is how long a request may run. A server that died meanwhile
	// leaves the key claimed for so long.
	answerLease = 10 * time.Minute
	maxAnswer   = 1 << 20
	maxKey      = 255
)

// Answer is what was answered to a request.
type Answer struct {
	Target      string   // method and URL
	BodyHash    [32]byte // SHA-256 of the request's body
	Status      int      // 0: it is still running
	ContentType string
	Body        []byte // nil: it was too large to be kept
}

// AnswerStore keeps answers, sealed: they may hold tokens and links.
type AnswerStore interface {
	// ClaimAnswer gives a key to the caller, who then runs the request, and
	// returns nil; or what is there under it, which is running (Status 0) or
	// done. A key is free when it is older than AnswerRetention, or when who
	// claimed it has not finished within its lease.
	ClaimAnswer(ctx context.Context, callerID, key, target string, now time.Time, lease time.Duration) (*Answer, error)
	KeepAnswer(ctx context.Context, callerID, key string, a Answer) error
	// DropAnswer frees a key that was claimed and has no answer.
	DropAnswer(ctx context.Context, callerID, key string) error
	PurgeAnswers(ctx context.Context, before time.Time) (int, error)
}

// idempotent is the middleware for it.
func (a *API) idempotent(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		key := c.Header(idempotencyHeader)
		if _, needsToken := roleOf(c.Operation()); key == "" || c.Method() != http.MethodPost || !needsToken {
			next(c)
			return
		}
		ctx, by := c.Context(), caller(c.Context())
		if len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			a.refuse(api, c, newProblem(http.StatusUnprocessableEntity, "idempotency_key_invalid", fmt.Sprintf("The Idempotency-Key has 1 to %d printable ASCII characters.", maxKey), "Use a fresh UUID."))
			return
		}
		u := c.URL()
		target := c.Method() + " " + u.RequestURI()
		kept, err := a.Answers.ClaimAnswer(ctx, by.ID, key, target, a.now(), answerLease)
		switch {
		case err != nil:
			a.refuse(api, c, a.problem(ctx, err))
		case kept != nil:
			a.replay(api, c, *kept, target)
		default:
			a.runOnce(c, next, by.ID, key, target)
		}
	}
}

// replay answers as it was answered before.
func (a *API) replay(api huma.API, c huma.Context, kept Answer, target string) {
	if kept.Status == 0 {
		p := newProblem(http.StatusConflict, "idempotency_key_in_use", "A request with this Idempotency-Key is still running.", "Make it again in a moment.")
		p.retryAfter = time.Second
		a.refuse(api, c, p)
		return
	}
	body := newHashed(c, c.BodyReader())
	if err := body.drain(); err != nil {
		a.refuse(api, c, a.problem(c.Context(), err))
		return
	}
	switch {
	case kept.Target != target || kept.BodyHash != body.sum():
		a.refuse(api, c, newProblem(http.StatusUnprocessableEntity, "idempotency_key_reused", "The Idempotency-Key was used for another request.", "Use a fresh key for each request, and the same one only to repeat it."))
	case kept.Body == nil:
		a.refuse(api, c, newProblem(http.StatusConflict, "idempotency_answer_lost", fmt.Sprintf("The request was done and answered with %d; the answer was too large to be kept.", kept.Status), "Read what it changed."))
	default:
		if kept.ContentType != "" {
			c.SetHeader("Content-Type", kept.ContentType)
		}
		c.SetHeader(replayedHeader, "true")
		c.SetStatus(kept.Status)
		if _, err := c.BodyWriter().Write(kept.Body); err != nil {
			a.Logger.DebugContext(c.Context(), "answer not delivered", "error", err)
		}
	}
}

// runOnce runs the request and keeps its answer. What failed on our side is
// not kept: it may be done when it is tried again.
func (a *API) runOnce(c huma.Context, next func(huma.Context), callerID, key, target string) {
	r, w := humamux.Unwrap(c)
	ctx := c.Context()
	body, rec := newHashed(c, r.Body), &keeper{ResponseWriter: w}
	done := false
	defer func() {
		if done {
			return
		}
		if err := a.Answers.DropAnswer(context.WithoutCancel(ctx), callerID, key); err != nil {
			a.Logger.WarnContext(ctx, "idempotency key not given back", "error", err)
		}
	}()
	r = r.WithContext(ctx)
	r.Body = body
	next(humamux.NewContext(c.Operation(), r, rec))
	if rec.status >= http.StatusInternalServerError || rec.status == 0 || body.drain() != nil {
		return
	}
	answer := Answer{Target: target, BodyHash: body.sum(), Status: rec.status, ContentType: w.Header().Get("Content-Type"), Body: rec.kept()}
	if err := a.Answers.KeepAnswer(context.WithoutCancel(ctx), callerID, key, answer); err != nil {
		// It is done and answered. Only a repetition would not find it.
		a.Logger.ErrorContext(ctx, "answer not kept for repetitions", "error", err)
	}
	done = true
}

// hashed is the body of a request, hashed while it is read.
type hashed struct {
	io.Reader
	io.Closer
	hash hash.Hash
}

func newHashed(c huma.Context, body io.Reader) *hashed {
	if body == nil {
		body = http.NoBody
	}
	sum := sha256.New()
	limited := http.MaxBytesReader(nil, io.NopCloser(body), c.Operation().MaxBodyBytes)
	closer, ok := body.(io.Closer)
	if !ok {
		closer = http.NoBody
	}
	return &hashed{Reader: io.TeeReader(limited, sum), Closer: closer, hash: sum}
}

// drain reads what the operation has left.
func (h *hashed) drain() error {
	_, err := io.Copy(io.Discard, h.Reader)
	if errors.Is(err, http.ErrBodyReadAfterClose) {
		return nil
	}
	return err
}

func (h *hashed) sum() (sum [32]byte) {
	h.hash.Sum(sum[:0])
	return sum
}

// keeper keeps a copy of an answer that is not too large.
type keeper struct {
	http.ResponseWriter
	status int
	large  bool
	body   bytes.Buffer
}

func (k *keeper) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	if k.status == 0 {
		k.status = http.StatusOK
	}
	if k.large = k.large || k.body.Len()+len(b) > maxAnswer; k.large {
		k.body.Reset()
	} else {
		k.body.Write(b)
	}
	return k.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// kept is the copy; nil where it was too large.
func (k *keeper) kept() []byte {
	if k.large {
		return nil
	}
	return append([]byte{}, k.body.Bytes()...)
}

// idempotencyParam documents the header.
func idempotencyParam() *huma.Param {
	one, most := 1, maxKey
	return &huma.Param{Name: idempotencyHeader, In: "header", Description: "A fresh key makes the request safe to repeat: with the same key and body the first answer is given again, for 24 hours.",
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: &one, MaxLength: &most}}
}
