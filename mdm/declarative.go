package mdm

import (
	"net/http"
	"strings"

	"rollcall/enroll"
	"rollcall/policy"
)

// declarative answers a DeclarativeManagement check-in: the device asks for
// the token of its declarations, for their list and for each of them, and
// reports their status. A device that was never given any gets an empty set,
// which is how it forgets those of an earlier enrollment.
//
//	tokens -> declaration-items -> declaration/{kind}/{identifier} ... -> status
func (s *Server) declarative(w http.ResponseWriter, r *http.Request, m checkin, e Enrollment) error {
	ctx := r.Context()
	if m.Endpoint == "status" {
		return s.Declarations.ChangeDeclarativeStatus(ctx, e.ID, func(status *policy.DeclarativeStatus) error {
			return status.Merge(m.Data, s.now())
		})
	}
	if path, ok := strings.CutPrefix(m.Endpoint, "declaration/"); ok {
		kind, identifier, _ := strings.Cut(path, "/")
		d, err := s.Declarations.Declaration(ctx, e.ID, kind, identifier)
		switch {
		case enroll.KindOf(err) == enroll.KindNotFound: // the device removes its copy
			http.Error(w, "there is no such declaration", http.StatusNotFound)
			return nil
		case err == nil:
			writeJSON(w, d.Body)
		}
		return err
	}
	set, err := s.Declarations.DeclarationSet(ctx, e.ID)
	if err != nil {
		return err
	}
	if set.Token == "" {
		set.Token, set.ChangedAt = policy.DeclarationsToken(e.ID, nil), e.EnrolledAt
	}
	switch m.Endpoint {
	case "tokens":
		writeJSON(w, policy.SyncTokens(set.Token, set.ChangedAt))
	case "declaration-items":
		writeJSON(w, policy.DeclarationItems(set))
	default:
		return bad("endpoint_unknown", "the endpoint is not known")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(body) // a connection that broke is told by the next request
}
