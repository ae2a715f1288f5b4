package mdm

import (
	"net/http"

	"rollcall/enroll"
)

// returnToService answers a device that is about to erase itself and wants to
// come back managed without hands (Apple: Return To Service check-in, iOS 26).
// Only one that came by Automated Device Enrollment does: it finds the way by
// its ADE profile again, and gets the bootstrap token back that it stored here.
func (s *Server) returnToService(w http.ResponseWriter, r *http.Request, e Enrollment, fingerprint string) error {
	issued, err := s.Issued.Identity(r.Context(), fingerprint)
	if err != nil {
		return issuedError(err)
	}
	answer := map[string]any{"Enabled": issued.Binding.Channel == string(enroll.ChannelADE)}
	if answer["Enabled"] == true {
		token, err := s.Enrollments.BootstrapToken(r.Context(), e.ID)
		if err != nil {
			return err
		}
		if len(token) > 0 {
			answer["BootstrapToken"] = token
		}
	}
	return answerPlist(w, map[string]any{"ReturnToService": answer})
}
