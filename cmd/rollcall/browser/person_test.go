package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what a person waits for.
const patience = 30 * time.Second

//go:embed testdata/find.js
var finder string

// person is somebody before a browser window of their own. What goes wrong
// first is kept in err, and nothing is done after it.
type person struct {
	t      *testing.T
	ctx    context.Context
	base   string // origin
	id     string // of the administrator; empty: unknown
	watch  *watch
	within string // part of the page that is looked at; empty: all of it
	*state
}

type state struct {
	err    error
	failed func(error) // by default ends the test

	patience time.Duration
}

// browse opens a window at an origin such as https://localhost:8443.
func browse(t *testing.T, base string) *person {
	t.Helper()
	ctx, cancel := chromedp.NewContext(pages.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := (&person{ctx: ctx, base: base, watch: newWatch(base)}).on(t)
	if err := b.watch.start(ctx); err != nil {
		t.Fatal(err)
	}
	b.Window(desktop.width, desktop.height)
	return b
}

// on is the same person in another test, or in a part of it.
func (b *person) on(t *testing.T) *person {
	same := *b
	same.t, same.state = t, &state{patience: patience}
	same.failed = func(err error) {
		t.Helper()
		same.picture(filepath.Join(t.ArtifactDir(), "failed.png"))
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if same.err == nil && !t.Failed() {
			same.settle()
		}
	})
	return &same
}

var desktop = struct{ width, height int64 }{1280, 800}

// fail keeps the first thing that went wrong.
func (b *person) fail(format string, args ...any) {
	b.t.Helper()
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
		b.failed(b.err)
	}
}

func (b *person) must(err error) {
	b.t.Helper()
	if err != nil {
		b.fail("%w", err)
	}
}

// In looks at the smallest part of the page that shows a text: a row, a card, a
// section, a form.
func (b *person) In(text string) *person {
	part := *b
	part.within = text
	return &part
}

// call evaluates a function of the finder. Before the page is there it fails;
// that is no answer.
func call[T any](b *person, function string, args ...any) (out T, err error) {
	encoded := make([]string, len(args))
	for i, a := range args {
		j, err := json.Marshal(a)
		if err != nil {
			return out, err
		}
		encoded[i] = string(j)
	}
	return evaluate[T](b, fmt.Sprintf("{%s; find.%s(%s)}", finder, function, strings.Join(encoded, ", ")))
}

func evaluate[T any](b *person, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// send gives a command of the DevTools protocol.
func send[P, R any](b *person, command cdp.Command[P, R], p P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, p)
	b.must(err)
	return r
}

// answer is what the finder says.
type answer struct {
	Why     string // empty: it was found
	X, Y    float64
	Kind    string
	Value   string
	Checked bool
}

// find asks the finder until it finds, and waits for the page to be at rest
// before.
func (b *person) find(function string, args ...any) answer {
	b.t.Helper()
	var a answer
	b.until(func() (err error) {
		if a, err = call[answer](b, function, append(args, b.within)...); err == nil && a.Why != "" {
			err = errors.New(a.Why)
		}
		return err
	})
	return a
}

// until tries until it works, or reports why it does not.
func (b *person) until(try func() error) {
	b.t.Helper()
	if b.err != nil {
		return
	}
	deadline := time.NewTimer(b.patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			b.fail("%s: waited in vain: %w", b.Path(), err)
			return
		case <-b.ctx.Done():
			b.fail("%w", b.ctx.Err())
			return
		}
	}
}

// settle waits until nothing loads any more, and reports what the watch saw.
func (b *person) settle() {
	b.t.Helper()
	// The answer comes after the events of what has begun before.
	b.until(func() error {
		busy, err := call[bool](b, "busy")
		switch {
		case err != nil:
			return err
		case busy || b.watch.loading():
			return errors.New("the page is still loading")
		}
		return nil
	})
	if fault := b.watch.fault(); fault != "" {
		b.fail("%s: %s", b.Path(), fault)
	}
}

// Open goes to a path of the server, or to a URL.
func (b *person) Open(path string) {
	b.t.Helper()
	if b.err != nil {
		return
	}
	if strings.HasPrefix(path, "/") {
		path = b.base + path
	}
	r := send(b, page.Navigate, page.NavigateParams{URL: path})
	if r.ErrorText != "" && !r.IsDownload {
		b.fail("open %s: %s", path, r.ErrorText)
	}
	b.settle()
}

// Back is the browser's button.
func (b *person) Back() {
	b.t.Helper()
	if b.err != nil {
		return
	}
	h := send(b, page.GetNavigationHistory, cdp.Empty{})
	if h.CurrentIndex == 0 {
		b.fail("there is nothing to go back to")
		return
	}
	send(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: h.Entries[h.CurrentIndex-1].ID})
	b.settle()
}

// Path is where the person is: path and query.
func (b *person) Path() string {
	at, err := evaluate[string](b, "location.pathname + location.search")
	if err != nil {
		return ""
	}
	return at
}

// Click clicks a link or button, found by what is written on it.
func (b *person) Click(text string) {
	b.t.Helper()
	a := b.find("button", text)
	b.clickAt(a, 1)
}

// DoubleClick is two clicks of somebody who does not know that one is enough.
func (b *person) DoubleClick(text string) {
	b.t.Helper()
	a := b.find("button", text)
	b.clickAt(a, 2)
}

func (b *person) clickAt(a answer, times int64) {
	b.t.Helper()
	if b.err != nil {
		return
	}
	for n := int64(1); n <= times; n++ {
		for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
			send(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: a.X, Y: a.Y, Button: input.MouseButtonLeft, ClickCount: n})
		}
	}
	b.settle()
}

// Fill types into the field with a label, in place of what is there. In fields
// with an editor of their own (choices, dates) it takes the value.
func (b *person) Fill(label, value string) {
	b.t.Helper()
	a := b.find("focus", label)
	if b.err != nil {
		return
	}
	switch a.Kind {
	case "select", "date", "time", "datetime-local", "color", "range":
		b.find("choose", label, value)
	default:
		if value == "" {
			b.Press("Backspace")
		} else {
			send(b, input.InsertText, input.InsertTextParams{Text: value})
		}
		if got := b.Value(label); got != value {
			b.fail("%q was typed into %q, which now says %q", value, label, got)
		}
	}
	b.settle()
}

// Check ticks a box or a choice among several, or takes the tick away.
func (b *person) Check(label string, on bool) {
	b.t.Helper()
	if a := b.find("box", label); a.Checked != on {
		b.clickAt(a, 1)
		if a := b.find("box", label); a.Checked != on {
			b.fail("%q does not change", label)
		}
	}
}

// Attach puts a file into the field with a label.
func (b *person) Attach(label, path string) {
	b.t.Helper()
	b.find("value", label)
	if b.err != nil {
		return
	}
	quoted, err := json.Marshal(label)
	b.must(err)
	within, err := json.Marshal(b.within)
	b.must(err)
	r := send(b, runtime.Evaluate, runtime.EvaluateParams{Expression: fmt.Sprintf("{%s; find.element(%s, %s)}", finder, quoted, within)})
	if b.err == nil {
		send(b, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: []string{path}, ObjectID: r.Result.ObjectID})
		b.settle()
	}
}

// Value is what a field says: its text, the chosen option, or "true" and "false".
func (b *person) Value(label string) string {
	b.t.Helper()
	return b.find("value", label).Value
}

// See waits until texts are on the page.
func (b *person) See(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.find("sees", text)
	}
	b.settle()
}

// Sees says whether a text is on the page as it is now.
func (b *person) Sees(text string) bool {
	b.t.Helper()
	b.settle()
	if b.err != nil {
		return false
	}
	a, err := call[answer](b, "sees", text, b.within)
	b.must(err)
	return a.Why == ""
}

// Miss wants texts not to be on the page as it is now.
func (b *person) Miss(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if b.Sees(text) {
			b.fail("%s shows %q", b.Path(), text)
		}
	}
}

// MissButton wants no link or button with a text to be there as the page is now.
func (b *person) MissButton(text string) {
	b.t.Helper()
	b.settle()
	if b.err != nil {
		return
	}
	a, err := call[answer](b, "button", text, b.within)
	b.must(err)
	if !strings.HasPrefix(a.Why, "no ") {
		b.fail("%s has a button %q", b.Path(), text)
	}
}

// Keys that Press knows, with their codes.
var keyCodes = map[string]int64{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "Backspace": 8, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}

const shift = 8 // modifier

// Press presses a key: "Tab", "Shift+Tab", "Enter", " ", "Escape".
func (b *person) Press(key string) {
	b.t.Helper()
	if b.err != nil {
		return
	}
	name, shifted := strings.CutPrefix(key, "Shift+")
	code, known := keyCodes[name]
	if !known {
		b.fail("there is no key %q", name)
		return
	}
	p := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: name, Code: name, WindowsVirtualKeyCode: code}
	switch {
	case shifted:
		p.Modifiers = shift
	case name == "Enter":
		p.Text = "\r"
	case name == " ":
		p.Text, p.Code = " ", "Space"
	}
	send(b, input.DispatchKeyEvent, p)
	p.Type, p.Text = input.DispatchKeyEventTypeKeyUp, ""
	send(b, input.DispatchKeyEvent, p)
	b.settle()
}

// Type types where the keyboard is.
func (b *person) Type(text string) {
	b.t.Helper()
	if b.err == nil {
		send(b, input.InsertText, input.InsertTextParams{Text: text})
	}
}

// focus is what the keyboard is on.
type focus struct {
	Name, Tag, Path string
	Marked          bool // visibly
}

// Focused tells what the keyboard is on.
func (b *person) Focused() focus {
	b.t.Helper()
	f, err := call[focus](b, "focused")
	b.must(err)
	return f
}

// Window sets the size of the window in CSS pixels.
func (b *person) Window(width, height int64) {
	b.t.Helper()
	send(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// Dark says whether the person prefers dark colours.
func (b *person) Dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

// Scripts says whether pages may run scripts.
func (b *person) Scripts(on bool) {
	b.t.Helper()
	send(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// Forget takes the cookies away, as the end of a session does.
func (b *person) Forget() {
	b.t.Helper()
	send(b, network.ClearBrowserCookies, cdp.Empty{})
}

// Screenshot keeps a picture of the window as name.png in the folder that
// ROLLCALL_TEST_SCREENS names; without it nothing happens.
func (b *person) Screenshot(name string) {
	b.t.Helper()
	if dir := os.Getenv(screensVariable); dir != "" && b.err == nil {
		b.settle()
		b.must(b.picture(filepath.Join(dir, name+".png")))
	}
}

const screensVariable = "ROLLCALL_TEST_SCREENS"

func (b *person) picture(path string) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(path, png, 0o644)
}
