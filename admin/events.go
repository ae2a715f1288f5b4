package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"rollcall/admin/webhook"
	"rollcall/enroll"
)

// EventStore reads the stream of events. Places in it are given once, in one
// order, so a reader misses nothing that comes later.
type EventStore interface {
	// Events lists events after a place, oldest first, of some types only
	// (patterns; none: all). last is where to go on.
	Events(ctx context.Context, after int64, types []string, limit int) (events []enroll.Event, last int64, err error)
	// EventRange gives the places of the oldest event that is kept and of the
	// newest; oldest is newest+1 where none is kept.
	EventRange(ctx context.Context) (oldest, newest int64, err error)
}

const (
	maxStreams     = 64
	streamBatch    = 500
	heartbeat      = 15 * time.Second
	streamDeadline = 30 * time.Second // for a client to take what was written
	eventStream    = "text/event-stream"
)

// Accepting is the Accept header of operations that have several forms.
type Accepting struct {
	Accept string `header:"Accept" hidden:"true"`
}

// form is the first of the forms that the client asks for; JSON otherwise.
func (in Accepting) form(offers ...string) string {
	for part := range strings.SplitSeq(in.Accept, ",") {
		media, _, _ := strings.Cut(part, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		for _, offer := range offers {
			if media == offer {
				return offer
			}
		}
	}
	return "application/json"
}

type eventListView struct {
	Items      []webhook.Message `json:"items"`
	NextCursor string            `json:"next_cursor" doc:"Always there: give it as cursor, now or later, to get what has happened since."`
}

func (r routes) events() {
	a := r.a
	type listEvents struct {
		Accepting
		ListParams
		Types       []string `query:"types" maxItems:"50" doc:"Types of events, with commas between them; device.* is all of an object. All if left out." example:"device.enrolled,request.*"`
		LastEventID string   `header:"Last-Event-ID" maxLength:"40" doc:"In the stream: go on after this one, as the client of an interrupted stream does by itself. Left out: from now on."`
	}
	op := huma.Operation{OperationID: "list-events", Method: http.MethodGet, Path: "/events", Tags: []string{"Events"},
		Summary: "Follow what happens", Description: "With Accept: text/event-stream a stream (server-sent events) that goes on until one side ends it; each event has its type, an id to go on after, and as data the same JSON as in the list. " +
			"Otherwise a list, oldest first. Events are kept for 30 days; who asks for older ones gets 410.",
		Responses: map[string]*huma.Response{"200": {Description: "Events", Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemaOf[eventListView](r)},
			eventStream:        {Schema: &huma.Schema{Type: huma.TypeString, Description: "Server-sent events."}},
		}}}}
	add(r, RoleViewer, op, func(ctx context.Context, in *listEvents) (*huma.StreamResponse, error) {
		for _, p := range in.Types {
			if err := enroll.CheckEventPattern(p); err != nil {
				return nil, err
			}
		}
		oldest, newest, err := a.Events.EventRange(ctx)
		if err != nil {
			return nil, err
		}
		if in.form(eventStream) == eventStream {
			after, err := streamStart(in.LastEventID, oldest, newest)
			if err != nil {
				return nil, err
			}
			if a.streams.Add(1) > maxStreams {
				a.streams.Add(-1)
				return nil, enroll.Errorf(enroll.KindUnavailable, "streams_many", "%d clients follow the stream already", maxStreams).WithHint("Ask for the list instead, with Accept: application/json.")
			}
			return &huma.StreamResponse{Body: func(c huma.Context) {
				defer a.streams.Add(-1)
				a.follow(c, after, in.Types)
			}}, nil
		}
		p, err := in.page()
		if err != nil {
			return nil, err
		}
		after, err := place(p.After)
		if err != nil {
			return nil, err
		}
		if p.After == "" {
			after = oldest - 1
		}
		if err := checkPlace(after, oldest, newest); err != nil {
			return nil, err
		}
		events, last, err := a.Events.Events(ctx, after, in.Types, p.Limit)
		if err != nil {
			return nil, err
		}
		out := eventListView{Items: make([]webhook.Message, len(events)), NextCursor: encodeCursor(strconv.FormatInt(last, 10))}
		for i, e := range events {
			out.Items[i] = webhook.MessageOf(e)
		}
		return answerJSON(r, out), nil
	})
}

// answerJSON is JSON from an operation that has other forms too.
func answerJSON(r routes, v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		c.SetStatus(http.StatusOK)
		if err := r.api.Marshal(c.BodyWriter(), "application/json", v); err != nil {
			r.a.Logger.DebugContext(c.Context(), "answer not delivered", "error", err)
		}
	}}
}

// streamStart is the place after which a stream begins.
func streamStart(lastEventID string, oldest, newest int64) (int64, error) {
	if lastEventID == "" {
		return newest, nil
	}
	after, err := strconv.ParseInt(lastEventID, 10, 64)
	if err != nil {
		return 0, newProblem(http.StatusBadRequest, "event_id_unknown", "The Last-Event-ID is not one that this stream gave.", "Leave it out to start with what happens from now on.")
	}
	return after, checkPlace(after, oldest, newest)
}

// checkPlace refuses to go on where events are missing.
func checkPlace(after, oldest, newest int64) error {
	switch {
	case after < 0 || after > newest:
		return cursorUnknown()
	case after+1 < oldest:
		return enroll.Errorf(enroll.KindGone, "events_gone", "events after this place are no longer kept").WithHint("Read what is of interest anew, then start without a cursor.")
	}
	return nil
}

// follow writes events as they are published, until the client goes, the
// server stops, or the caller may no longer follow.
func (a *API) follow(c huma.Context, after int64, types []string) {
	ctx, by := c.Context(), caller(c.Context())
	_, w := humamux.Unwrap(c)
	control := http.NewResponseController(w)
	// The server's time-outs are for answers with an end. A connection that
	// cannot do this (in a test) has none.
	_ = control.SetReadDeadline(time.Time{})
	c.SetHeader("Content-Type", eventStream)
	c.SetStatus(http.StatusOK)
	say := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamDeadline))
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !say(": hello\n\n") {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		changed := a.changed()
		events, last, err := a.Events.Events(ctx, after, types, streamBatch)
		if err != nil {
			if ctx.Err() == nil {
				a.Logger.WarnContext(ctx, "event stream ended", "error", err)
			}
			return
		}
		var text strings.Builder
		for _, e := range events {
			data, err := json.Marshal(webhook.MessageOf(e))
			if err != nil {
				a.Logger.ErrorContext(ctx, "event stream ended", "error", err)
				return
			}
			fmt.Fprintf(&text, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
		}
		if text.Len() > 0 && !say(text.String()) {
			return
		}
		after = last
		if len(events) == streamBatch {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-a.Stopping:
			return
		case <-changed:
		case <-beat.C:
			if by.Still != nil && by.Still(ctx) != nil || !say(": still here\n\n") {
				return
			}
		}
	}
}

func (a *API) changed() <-chan struct{} {
	if a.EventsChanged == nil {
		return nil
	}
	return a.EventsChanged()
}
