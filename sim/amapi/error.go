package amapi

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// refusal is an answer other than 200, in the shape of Google's errors
// (google.rpc.Status, https://cloud.google.com/apis/design/errors).
type refusal struct {
	code    int    // HTTP
	status  string // google.rpc.Code
	message string
	reason  string // of ErrorInfo; "": no details
}

func invalid(format string, args ...any) *refusal {
	return &refusal{code: http.StatusBadRequest, status: "INVALID_ARGUMENT", message: fmt.Sprintf(format, args...)}
}

func precondition(format string, args ...any) *refusal {
	return &refusal{code: http.StatusBadRequest, status: "FAILED_PRECONDITION", message: fmt.Sprintf(format, args...)}
}

func missing() *refusal {
	return &refusal{code: http.StatusNotFound, status: "NOT_FOUND", message: "Requested entity was not found."}
}

func denied(message, reason string) *refusal {
	return &refusal{http.StatusForbidden, "PERMISSION_DENIED", message, reason}
}

func exists(message string) *refusal {
	return &refusal{code: http.StatusConflict, status: "ALREADY_EXISTS", message: message}
}

// body is the error as Google writes it.
func (e *refusal) body() object {
	out := object{"code": e.code, "message": e.message, "status": e.status}
	if e.reason != "" {
		out["details"] = []any{object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": e.reason, "domain": "googleapis.com"}}
	}
	return object{"error": out}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(v)
}
