package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
)

// ExportCommands stream whole lists.
type ExportCommands struct {
	Session
	Devices   exportDevices   `cmd:"" help:"The roll."`
	Decisions exportDecisions `cmd:"" help:"The decisions of the gate."`
	Requests  exportRequests  `cmd:"" help:"The enrollment requests."`
}

// exported is what exports share.
type exported struct {
	File string `help:"File to write to, only when the export is whole; default: standard output."`
}

// exportTypes are the forms of an export by that of the output; as JSON it is
// one object of the API a line.
var exportTypes = map[string]string{formTable: "text/csv", formCSV: "text/csv", formJSON: "application/x-ndjson"}

// write streams what the server exports, as of one moment. A file appears only
// once it is whole; on standard output the exit code tells.
func (e exported) write(ctx context.Context, s *Session, path string, query url.Values) error {
	c := get(path, query)
	c.accept = exportTypes[s.Output]
	body, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer body.Close()
	if e.File == "" {
		return s.copyTo(os.Stdout, body)
	}
	f, err := os.CreateTemp(filepath.Dir(e.File), ".rollcall-export-*")
	if err != nil {
		return failed("", "%v", err)
	}
	defer os.Remove(f.Name()) // of what is left where it was not whole
	if err := errors.Join(s.copyTo(f, body), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), e.File)
}

func (s *Session) copyTo(to io.Writer, body io.Reader) error {
	w := bufio.NewWriterSize(to, 64<<10)
	if _, err := io.Copy(w, onlyReader{body}); err != nil {
		if errors.Is(err, errStalled) || errors.Is(err, context.Canceled) {
			return s.unreached(err)
		}
		return failed("Try again; the server's log says more.", "what is there is not whole: %v", err)
	}
	return w.Flush()
}

// onlyReader hides everything else of a reader, so that io.Copy uses the
// buffer of the writer.
type onlyReader struct{ io.Reader }

type exportDevices struct {
	deviceFilter
	exported
}

// Run implements the command.
func (c *exportDevices) Run(ctx context.Context, s *Session) error {
	return c.write(ctx, s, "/devices", filter(c.pairs()...))
}

type exportDecisions struct {
	decisionFilter
	exported
}

// Run implements the command.
func (c *exportDecisions) Run(ctx context.Context, s *Session) error {
	pairs, err := c.pairs()
	if err != nil {
		return err
	}
	return c.write(ctx, s, "/decisions", filter(pairs...))
}

type exportRequests struct {
	Serial string `help:"Only of this device."`
	State  string `help:"Only in this state."`
	exported
}

// Run implements the command.
func (c *exportRequests) Run(ctx context.Context, s *Session) error {
	return c.write(ctx, s, "/requests", filter("serial", c.Serial, "state", c.State))
}
