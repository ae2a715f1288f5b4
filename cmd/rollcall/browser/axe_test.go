package browser

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

const (
	axeVariable = "ROLLCALL_TEST_AXE"
	axePath     = "testdata/node_modules/axe-core/axe.min.js"
)

var axeSource = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile(axePath)
	if err != nil {
		return "", fmt.Errorf("axe-core is missing; run `npm ci` in cmd/rollcall/browser/testdata: %w", err)
	}
	return string(b), nil
})

// violation is one rule that a page breaks (axe-core's results object).
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
		Target         []any
	}
}

// Axe checks the page as it is shown. No violation may be serious or critical;
// others are noted.
func (b *person) Axe() {
	b.t.Helper()
	if b.err != nil || os.Getenv(axeVariable) == skip {
		return
	}
	source, err := axeSource()
	b.must(err)
	b.settle()
	// An element that fades in has no contrast yet.
	found, err := evaluate[[]violation](b, "(async () => { await Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))); if (!window.axe) {"+source+"}\n"+
		"return (await axe.run(document, { resultTypes: ['violations'], preload: false })).violations; })()")
	b.must(err)
	var grave, others []string
	for _, v := range found {
		for _, n := range v.Nodes {
			line := fmt.Sprintf("%s (%s): %s\n    %v %s\n    %s", v.ID, v.Impact, v.Help, n.Target, n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
			if v.Impact == "serious" || v.Impact == "critical" {
				grave = append(grave, line)
			} else {
				others = append(others, line)
			}
		}
	}
	if len(others) > 0 {
		b.t.Logf("%s: not grave:\n%s", b.Path(), strings.Join(others, "\n"))
	}
	if len(grave) > 0 {
		b.fail("%s is not accessible:\n%s", b.Path(), strings.Join(grave, "\n"))
	}
}
