package client

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// bar shows how far long work is, on a terminal only.
type bar struct {
	w     io.Writer // nil: nobody looks
	width int       // of what is shown
}

func newBar(f *os.File) *bar {
	if !terminal(f) {
		return &bar{}
	}
	return &bar{w: f}
}

const barWidth = 30

func (b *bar) show(what string, done, total int) {
	if b.w == nil {
		return
	}
	full := 0
	if total > 0 {
		full = barWidth * min(done, total) / total
	}
	line := fmt.Sprintf("%-9s [%s%s] %d of %d rows", what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done, total)
	fmt.Fprintf(b.w, "\r%-*s", b.width, line)
	b.width = len(line)
}

// end takes the bar away.
func (b *bar) end() {
	if b.w != nil && b.width > 0 {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", b.width))
	}
}
