package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Exit codes beside 0 for done.
const (
	exitFailed   = 1
	exitInvalid  = 2
	exitConflict = 3
)

// Error is why a command failed. Its text says what happened and what to do.
type Error struct {
	code   int
	Code   string // of the API; empty for what never got there
	Detail string
	Hint   string
	Rows   []problemRow
}

// problemRow is one thing that is wrong with the input.
type problemRow struct {
	Line      int    `json:"line"`
	Column    string `json:"column"`
	Pointer   string `json:"pointer"`
	Parameter string `json:"parameter"`
	Value     string `json:"value"`
	Detail    string `json:"detail"`
	Hint      string `json:"hint"`
}

// ExitCode is what the program ends with.
func (e *Error) ExitCode() int { return e.code }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(clean(e.Detail))
	for _, r := range e.Rows {
		b.WriteString("\n  " + clean(r.String()))
	}
	if e.Hint != "" {
		b.WriteString("\n  -> " + clean(e.Hint))
	}
	return b.String()
}

func (r problemRow) String() string {
	var where []string
	if r.Line > 0 {
		where = append(where, "line "+strconv.Itoa(r.Line))
	}
	for _, w := range []string{r.Column, r.Pointer, strings.TrimPrefix(r.Parameter, "query.")} {
		if w != "" {
			where = append(where, w)
		}
	}
	text := strings.Join(where, ", ")
	if r.Value != "" {
		text += fmt.Sprintf(" %q", r.Value)
	}
	if text != "" {
		text += ": "
	}
	text += r.Detail
	if r.Hint != "" {
		text += " -> " + r.Hint
	}
	return text
}

// usage is an error in how a command was called.
func usage(hint, format string, args ...any) *Error {
	return &Error{code: exitInvalid, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

func failed(hint, format string, args ...any) *Error {
	return &Error{code: exitFailed, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

// problem makes an error of an answer that is not a success.
func problem(status int, body []byte, from string) *Error {
	var p struct {
		Code   string       `json:"code"`
		Detail string       `json:"detail"`
		Hint   string       `json:"hint"`
		Errors []problemRow `json:"errors"`
	}
	e := &Error{code: exitOf(status)}
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		e.Detail = fmt.Sprintf("%s answered %d %s, and not as this API does", from, status, http.StatusText(status))
		e.Hint = "Compare --server with the public URL of the server, and look for a proxy in between."
		return e
	}
	e.Code, e.Detail, e.Hint, e.Rows = p.Code, p.Detail, p.Hint, p.Errors
	if len(e.Rows) == 1 && strings.Contains(e.Detail, e.Rows[0].Detail) && e.Rows[0].Line == 0 {
		e.Rows = nil // it was said already
	}
	return e
}

func exitOf(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return exitInvalid
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	}
	return exitFailed
}
