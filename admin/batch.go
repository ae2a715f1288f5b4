package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

// Atomic makes one transaction of several operations.
type Atomic interface {
	// Atomically runs fn, again where the transaction has to be repeated.
	// Everything done with its context is one transaction; an error from fn
	// undoes all.
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
}

// batchable are the operations that a batch may hold: those on single devices
// that do nothing outside of the database.
var batchable = map[string]bool{
	"put-device": true, "patch-device": true, "delete-device": true, "block-device": true, "unblock-device": true, "change-members": true,
}

const (
	maxBatch   = 1000
	batchLimit = 8 << 20
)

type batchOperation struct {
	Method string          `json:"method" enum:"PUT,PATCH,DELETE,POST"`
	Path   string          `json:"path" maxLength:"2000" doc:"Below /api/v1." example:"/devices/C39XK1ABCD01"`
	Body   json.RawMessage `json:"body,omitempty" doc:"As the operation itself takes it."`
}

type batchResult struct {
	Status int             `json:"status" doc:"What the operation alone would have answered."`
	Body   json.RawMessage `json:"body,omitempty" doc:"Its answer, or the problem."`
}

type batchView struct {
	Failed  int           `json:"failed" doc:"How many operations were refused."`
	Results []batchResult `json:"results" doc:"One for each operation, in their order."`
}

type batchKey struct{}

// inBatch says whether an operation is part of a batch.
func inBatch(ctx context.Context) bool { return ctx.Value(batchKey{}) != nil }

func (r routes) batch() {
	a := r.a
	type runBatch struct {
		Body struct {
			Atomic     bool             `json:"atomic,omitempty" doc:"All or none, in one transaction. The first refusal is then the answer."`
			Operations []batchOperation `json:"operations" minItems:"1" maxItems:"1000"`
		}
	}
	op := huma.Operation{OperationID: "run-batch", Method: http.MethodPost, Path: "/batch", Tags: []string{"Devices"}, MaxBodyBytes: batchLimit,
		Summary: "Do up to 1,000 operations at once", Description: "PUT, PATCH and DELETE of devices, block and unblock, and changes of group members. They are done in order. Without atomic each is for itself, and the answer is 200 whatever became of them; " +
			"with atomic the answer is 200 when all were done, and otherwise a problem that points at the operation that was refused, with none of them done."}
	add(r, RoleOperator, op, func(ctx context.Context, in *runBatch) (*body[batchView], error) {
		defer a.kick() // what atomic operations woke could not see them yet
		ctx = context.WithValue(ctx, batchKey{}, true)
		if !in.Body.Atomic {
			out := batchView{Results: make([]batchResult, len(in.Body.Operations))}
			for i, o := range in.Body.Operations {
				if out.Results[i] = r.runOne(ctx, o); out.Results[i].Status >= 400 {
					out.Failed++
				}
			}
			return &body[batchView]{out}, nil
		}
		var out batchView
		err := a.Atomic.Atomically(ctx, func(ctx context.Context) error {
			out = batchView{Results: make([]batchResult, len(in.Body.Operations))}
			for i, o := range in.Body.Operations {
				if out.Results[i] = r.runOne(ctx, o); out.Results[i].Status >= 400 {
					return batchProblem(i, out.Results[i])
				}
			}
			return nil
		})
		return &body[batchView]{out}, err
	})
}

// batchProblem is the answer to an atomic batch of which one was refused.
func batchProblem(i int, result batchResult) error {
	var inner Problem
	if err := json.Unmarshal(result.Body, &inner); err != nil {
		return errors.Join(errors.New("an operation of a batch failed without a problem"), err)
	}
	if result.Status >= 500 { // not the client's fault
		return newProblem(result.Status, inner.Code, inner.Detail, inner.Hint)
	}
	p := newProblem(http.StatusUnprocessableEntity, "batch_refused", fmt.Sprintf("Operation %d was refused, so none was done: %s", i, inner.Detail), inner.Hint)
	pointer := fmt.Sprintf("/operations/%d", i)
	p.Errors = []ProblemDetail{{Pointer: pointer, Code: inner.Code, Detail: inner.Detail, Hint: inner.Hint}}
	for _, e := range inner.Errors {
		if e.Pointer != "" {
			e.Pointer = pointer + "/body" + e.Pointer
		}
		p.Errors = append(p.Errors, e)
	}
	return p
}

// runOne does one operation through the same router and checks as if it had
// come alone.
func (r routes) runOne(ctx context.Context, o batchOperation) batchResult {
	refused := func(code, detail, hint string) batchResult {
		b, _ := json.Marshal(newProblem(http.StatusUnprocessableEntity, code, detail, hint)) // strings always have a form
		return batchResult{http.StatusUnprocessableEntity, b}
	}
	if !strings.HasPrefix(o.Path, "/") {
		return refused("batch_path_invalid", "The path does not begin with a slash.", "Write it as /devices/SERIAL.")
	}
	req, err := http.NewRequestWithContext(ctx, o.Method, Prefix+o.Path, bytes.NewReader(o.Body))
	if err != nil {
		return refused("batch_path_invalid", "The path cannot be read.", "Escape what is special in a URL.")
	}
	req.RequestURI = req.URL.RequestURI()
	if len(o.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	w := &memoryWriter{header: http.Header{}, status: http.StatusOK}
	r.api.Adapter().ServeHTTP(w, req)
	return batchResult{Status: w.status, Body: bytes.TrimSpace(w.body.Bytes())}
}

// notBatchable refuses an operation that a batch cannot hold.
func notBatchable(op *huma.Operation) error {
	return enroll.Errorf(enroll.KindInvalid, "operation_not_batchable", "%s cannot be part of a batch", op.OperationID).WithHint("Call it by itself.")
}

// memoryWriter takes an answer in memory.
type memoryWriter struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.body.Write(b)
}
