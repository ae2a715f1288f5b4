package android

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"rollcall/policy"
)

const (
	// handOutLease is after which time a command is handed out again whose
	// result has not come, to an agent that asks without one.
	handOutLease = 5 * time.Second
	// openRetry is when an agent is woken again that has open commands left.
	openRetry = 10 * time.Minute
)

type checkinMessage struct {
	V       int               `json:"v"`
	Results []json.RawMessage `json:"results"`
	Device  *deviceInfo       `json:"device"`
	Push    *pushMessage      `json:"push"`
}

type resultMessage struct {
	CommandID string          `json:"command_id"`
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	Error     *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// statusUnsupported is the error of a command that an agent cannot carry out.
const statusUnsupported = "unsupported"

// maxWords bounds the agent's own words about an error, in bytes.
const maxWords = 2000

// codeResultInvalid is the error of a command whose result cannot be read.
const codeResultInvalid = "result_invalid"

// resultProblem says which result of a check-in was refused.
type resultProblem struct {
	Result    int    `json:"result"` // which of the results, from 0
	CommandID string `json:"command_id,omitempty"`
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// readResult reads one result. One that cannot be read is refused by itself:
// the agent would send the others with it again, for ever. Where it names its
// command, that has failed, else it would be handed out again, for ever. data
// is what the command brought.
func readResult(raw []byte, enrollmentID string, at time.Time) (r Result, data []byte, problem *resultProblem) {
	var m resultMessage
	unreadable := json.Unmarshal(raw, &m) != nil // what can be read of it is in m
	r = Result{EnrollmentID: enrollmentID, CommandID: m.CommandID, Data: raw, At: at}
	refused := func(code, message string) (Result, []byte, *resultProblem) {
		r.State, r.Error = policy.CommandFailed, codeResultInvalid+": "+message
		return r, nil, &resultProblem{CommandID: r.CommandID, Code: code, Message: message}
	}
	if m.CommandID == "" || len(m.CommandID) > maxText {
		r.CommandID = ""
		return refused("command_id_invalid", "The result names no command.")
	}
	if unreadable {
		return refused(codeResultInvalid, "The result cannot be read.")
	}
	words := ""
	if m.Error != nil {
		if words = m.Error.Code; m.Error.Message != "" {
			words += ": " + m.Error.Message
		}
	}
	switch m.Status {
	case "acknowledged":
		r.State = policy.CommandAcknowledged
		return r, m.Data, nil
	case "not_now":
		r.NotNow = true
		return r, m.Data, nil
	case "error":
		if words == "" {
			words = "error"
		}
	case statusUnsupported:
		words = statusUnsupported + prefixed(words)
	default:
		return refused("status_unknown", "The result has a status that is not known.")
	}
	r.State, r.Error = policy.CommandFailed, words[:min(len(words), maxWords)]
	return r, m.Data, nil
}

func prefixed(words string) string {
	if words == "" {
		return ""
	}
	return ": " + words
}

func (s *Server) checkin(w http.ResponseWriter, r *http.Request) (answer, error) {
	var m checkinMessage
	body, err := readBody(w, r, maxCheckin, &m)
	if err != nil {
		return answer{}, err
	}
	e, counter, err := s.caller(r, body)
	if err != nil {
		return answer{}, err
	}
	if err := checkVersion(m.V); err != nil {
		return answer{}, err
	}
	if len(m.Results) > maxResults {
		return answer{}, wrong("results_too_many", "A check-in has 100 results at most.")
	}
	now := clock(s.Now)
	out := answer{PollSeconds: pollSeconds}
	var results []Result
	var data [][]byte // of each
	for i, raw := range m.Results {
		result, brought, problem := readResult(raw, e.ID, now)
		if problem != nil {
			s.log().WarnContext(r.Context(), "result refused", "enrollment", e.ID, "command", result.CommandID, "code", problem.Code)
			problem.Result = i
			out.Problems = append(out.Problems, *problem)
		}
		if result.CommandID != "" {
			results, data = append(results, result), append(data, brought)
		}
	}
	if m.Device != nil {
		if err := m.Device.check(); err != nil {
			return answer{}, err
		}
	}
	s.Seen.Mark(e.ID, now)
	if len(results) == 0 && m.Device == nil && m.Push == nil && !e.Due && !e.Open {
		return out, s.count(r.Context(), e.ID, counter, true)
	}
	var next *Command
	var over bool
	err = s.Agents.Atomically(r.Context(), func(ctx context.Context) error {
		next, over = nil, false
		if err := s.count(ctx, e.ID, counter, false); err != nil {
			return err
		}
		if err := s.learn(ctx, e, m); err != nil {
			return err
		}
		if e.Due {
			if err := s.Agents.SettleWake(ctx, e.ID, now); err != nil {
				return err
			}
		}
		if len(results) == 0 {
			var err error
			next, err = s.Agents.HandOutAgent(ctx, e.ID, now, handOutLease)
			return err
		}
		fresh := false
		for i, result := range results {
			done, err := s.Agents.ReportAgent(ctx, result, openRetry)
			if err != nil {
				return err
			}
			if done.Next != nil {
				next = done.Next
			}
			ended, err := s.carriedOut(ctx, e, result, done, data[i])
			if err != nil {
				return err
			}
			over, fresh = over || ended, fresh || done.Fresh
		}
		if !fresh && next == nil && !over {
			// Who repeats its results never got the answer, nor the command in it.
			next, err = s.Agents.HandOutAgent(ctx, e.ID, now, 0)
		}
		return err
	})
	switch {
	case err != nil:
		return answer{}, err
	case over:
		return answer{Action: actionUnenroll}, nil
	case next != nil:
		out.Command = &commandAnswer{ID: next.ID, Type: next.Type, Parameters: next.Body}
	}
	return out, nil
}

// learn takes what a check-in tells of the device.
func (s *Server) learn(ctx context.Context, e Enrollment, m checkinMessage) error {
	if m.Push != nil && m.Push.id() != e.PushID {
		if err := s.Agents.SetAgentPush(ctx, e.ID, m.Push.id()); err != nil {
			return err
		}
	}
	if m.Device == nil {
		return nil
	}
	return s.recordFacts(ctx, e, *m.Device)
}

func (s *Server) recordFacts(ctx context.Context, e Enrollment, d deviceInfo) error {
	if f := d.facts(); !f.Empty() {
		return s.Agents.RecordFacts(ctx, e.DeviceID, f)
	}
	return nil
}

// carriedOut does what follows from a result, and says whether the enrollment
// has ended by it.
func (s *Server) carriedOut(ctx context.Context, e Enrollment, r Result, done Reported, data []byte) (over bool, err error) {
	log := s.log().With("enrollment", e.ID, "type", done.Type, "command", r.CommandID)
	switch {
	case done.Type == "":
		log.WarnContext(ctx, "result of an unknown command")
		return false, nil
	case !done.Fresh || r.NotNow:
		return false, nil
	case r.State == policy.CommandFailed:
		log.WarnContext(ctx, "command failed on the device", "code", r.ErrorCode())
		return false, nil
	}
	switch done.Type {
	case typeInformation:
		var d deviceInfo
		if json.Unmarshal(data, &d) != nil || d.check() != nil {
			log.WarnContext(ctx, "what the device tells of itself cannot be read")
			return false, nil
		}
		return false, s.recordFacts(ctx, e, d)
	case typeUnenroll:
		return s.Agents.Removed(ctx, e.ID, r.CommandID, r.At)
	case TypeWipe:
		// The device begins after its acknowledgement; if it is heard of
		// again, then because the answer to that was lost.
		return false, s.Agents.CheckOut(ctx, e.ID, r.At)
	}
	return false, nil
}
