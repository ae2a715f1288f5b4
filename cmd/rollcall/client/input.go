package client

import (
	"bufio"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readInput reads a file, or standard input for "-", up to a limit in bytes.
func readInput(name string, limit int64) (data []byte, base string, err error) {
	f := os.Stdin
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return nil, "", usage("", "%v", err)
		}
		defer f.Close()
		base = filepath.Base(name)
	}
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, "", failed("", "read %s: %v", name, err)
	}
	if int64(len(data)) > limit {
		return nil, "", usage("Split it.", "%s is larger than %d MiB", name, limit>>20)
	}
	return data, base, nil
}

// serials are those of the arguments; "-" stands for standard input, one a
// line.
func serials(args []string) ([]string, error) {
	var out []string
	for _, a := range args {
		if a != "-" {
			out = append(out, a)
			continue
		}
		in := bufio.NewScanner(io.LimitReader(os.Stdin, 16<<20))
		for in.Scan() {
			if line := strings.TrimSpace(in.Text()); line != "" {
				out = append(out, line)
			}
		}
		if err := in.Err(); err != nil {
			return nil, failed("", "read standard input: %v", err)
		}
	}
	if len(out) == 0 {
		return nil, usage("", "no serial was given")
	}
	return out, nil
}

// filter makes query parameters of those that are not empty.
func filter(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// moment reads a time: RFC 3339, a date (its beginning, on this machine), or a
// duration such as 24h or 90d. sign is -1 for durations that lead into the
// past.
func moment(name, text string, sign int) (string, error) {
	if text == "" {
		return "", nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC().Format(time.RFC3339Nano), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t.UTC().Format(time.RFC3339), nil
	}
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return "", usage("Write 2026-12-31, 2026-12-31T18:00:00Z, 24h or 90d.", "%s %q is not a time", name, text)
	}
	return time.Now().Add(time.Duration(sign) * d).UTC().Format(time.RFC3339), nil
}
