package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func (b *bench) profilePath(p part) (string, error) {
	dir := b.Keep
	if dir == "" {
		dir = b.dir
	}
	return filepath.Join(dir, b.engine.name+"-"+string(p)+".pprof"), os.MkdirAll(dir, 0o755)
}

// topLines is how much of a profile goes into the document.
const topLines = 30

// top is the profile as text, by cumulative cost. It needs the go command, as
// everybody has who runs make bench.
func top(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", fmt.Sprintf("-nodecount=%d", topLines), path).Output()
	if err != nil {
		return "", fmt.Errorf("bench: go tool pprof: %w", err)
	}
	var kept []string
	for text := range strings.Lines(string(out)) {
		if !strings.HasPrefix(text, "File:") && !strings.HasPrefix(text, "Build ID:") {
			kept = append(kept, strings.TrimRight(text, " \n"))
		}
	}
	return strings.Join(kept, "\n"), nil
}
