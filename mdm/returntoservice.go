package mdm

import (
	"context"
	"net/http"

	"rollcall/certs"
)

// Returns says how devices come back that erase themselves; ade.Door does.
type Returns interface {
	// Return says whether the device may whose identity was issued for b. It
	// finds its way back by its ADE profile, or where that asks for a person,
	// takes an enrollment profile along; nil: it needs none.
	Return(ctx context.Context, b certs.Binding, remote string) (may bool, profile []byte, err error)
}

// returnToService answers a device that is about to erase itself and wants to
// come back managed without hands (Apple: Return To Service check-in, iOS 26).
// One that may gets the bootstrap token back that it stored here.
func (s *Server) returnToService(w http.ResponseWriter, r *http.Request, e Enrollment, fingerprint string) error {
	issued, err := s.Issued.Identity(r.Context(), fingerprint)
	if err != nil {
		return issuedError(err)
	}
	answer := map[string]any{"Enabled": false}
	if s.Returns == nil {
		return answerPlist(w, map[string]any{"ReturnToService": answer})
	}
	may, profile, err := s.Returns.Return(r.Context(), issued.Binding, r.RemoteAddr)
	if err != nil {
		return err
	}
	if may {
		token, err := s.Enrollments.BootstrapToken(r.Context(), e.ID)
		if err != nil {
			return err
		}
		answer["Enabled"] = true
		if len(token) > 0 {
			answer["BootstrapToken"] = token
		}
		if len(profile) > 0 {
			answer["MDMProfileData"] = profile
		}
	}
	return answerPlist(w, map[string]any{"ReturnToService": answer})
}
