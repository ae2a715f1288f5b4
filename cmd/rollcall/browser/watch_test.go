package browser

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch looks at everything that a page does: no request may leave its origin,
// nothing may break its own Content-Security-Policy, report an error or fail to
// load. A document itself may be a refusal (403, 404, 422), not a failure.
type watch struct {
	host string

	mu     sync.Mutex
	faults []string
	frames map[cdp.FrameID]bool // that load
	bytes  int64                // received since the last document was asked for
	main   cdp.FrameID
	answer int64 // HTTP status of the document
}

func newWatch(base string) *watch {
	w := &watch{frames: map[cdp.FrameID]bool{}}
	if u, err := url.Parse(base); err == nil {
		w.host = u.Host
	}
	return w
}

func (w *watch) start(ctx context.Context) error {
	err := chromedp.Listen(ctx, func(event any) {
		w.event(event)
		if _, ok := event.(*page.EventJavascriptDialogOpening); ok {
			// A listener must not call; until the answer everything waits.
			go chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}
	})
	if err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, audits.Enable, cdp.Empty{}); err != nil {
		return err
	}
	tree, err := chromedp.Call(ctx, page.GetFrameTree, cdp.Empty{})
	if err == nil {
		w.mu.Lock()
		w.main = tree.FrameTree.Frame.ID
		w.mu.Unlock()
	}
	return err
}

// event takes one event. It must not call back.
func (w *watch) event(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := func(format string, args ...any) { w.faults = append(w.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *page.EventFrameRequestedNavigation:
		w.frames[e.FrameID] = true
	case *page.EventFrameStartedLoading:
		w.frames[e.FrameID] = true
	case *page.EventFrameStoppedLoading:
		delete(w.frames, e.FrameID)
	case *page.EventFrameDetached:
		delete(w.frames, e.FrameID)
	case *page.EventJavascriptDialogOpening:
		fault("a dialog opens: %s", e.Message)
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument && e.FrameID == w.main {
			w.bytes = 0
		}
		if !w.ours(e.Request.URL) {
			fault("a request leaves the origin: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument && e.FrameID == w.main {
			w.answer = e.Response.Status
		}
		if s := e.Response.Status; s >= 500 || s >= 400 && e.Type != network.ResourceTypeDocument {
			fault("%s was answered %d", e.Response.URL, s)
		}
	case *network.EventLoadingFinished:
		w.bytes += int64(e.EncodedDataLength)
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		fault("an exception: %s", text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			fault("an error on the console: %s", said(e.Args))
		}
	case *log.EventEntryAdded:
		// Answers with a bad status are looked at above.
		status := strings.HasPrefix(e.Entry.Text, "Failed to load resource: the server responded")
		if e.Entry.Level == log.EntryLevelError && !status {
			fault("an error in the log: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		if d := e.Issue.Details; d != nil && d.ContentSecurityPolicyIssueDetails != nil {
			c := d.ContentSecurityPolicyIssueDetails
			fault("the Content-Security-Policy is violated: %s %s", c.ViolatedDirective, c.BlockedURL)
		}
	}
}

func (w *watch) ours(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Host == w.host || u.Scheme == "data" || u.Scheme == "blob" || u.Scheme == "about")
}

func said(args []*runtime.RemoteObject) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a.Description; words[i] == "" {
			words[i] = string(a.Value)
		}
	}
	return strings.Join(words, " ")
}

func (w *watch) loading() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.frames) > 0
}

// fault is what went wrong first since the last call.
func (w *watch) fault() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.faults, "\n")
	w.faults = nil
	return all
}

// weight is what the page brought over the wire: bytes of bodies and headers.
func (w *watch) weight() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// status is the HTTP status of the document.
func (w *watch) status() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer
}
