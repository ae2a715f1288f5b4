package bench

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
)

// Server is the command that runs the server under measurement. It is serve
// for a program instead of a person: it says where it listens as one line of
// JSON, writes CPU profiles on request, and ends with its standard input.
//
//	-> profile PATH    <- {}
//	-> end             <- {}
type Server struct {
	app.Options
}

// answer is one line of the server's standard output.
type answer struct {
	URL   string `json:"url,omitempty"`
	Addr  string `json:"addr,omitempty"`
	Token string `json:"token,omitempty"`
	CA    []byte `json:"ca,omitempty"`     // DER
	SetUp string `json:"set_up,omitempty"` // code of the console
	Error string `json:"error,omitempty"`
}

// Run implements the command.
func (s *Server) Run(ctx context.Context) error {
	app.TuneMemory()
	a, err := app.New(ctx, s.Options)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	err = out.Encode(answer{URL: a.URL(), Addr: a.Addr().String(), Token: a.FirstToken(), CA: a.Authority().Certificate().Raw, SetUp: a.SetUpCode()})
	if err != nil {
		return errors.Join(err, a.Stop())
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		listen(os.Stdin, out)
	}()
	return a.Run(ctx)
}

// listen obeys until its input ends.
func listen(in io.Reader, out *json.Encoder) {
	var file *os.File
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var err error
		switch command, path, _ := strings.Cut(lines.Text(), " "); command {
		case "profile":
			if file, err = os.Create(path); err == nil {
				err = pprof.StartCPUProfile(file)
			}
		case "end":
			pprof.StopCPUProfile()
			err = file.Close()
		default:
			err = fmt.Errorf("there is no command %q", command)
		}
		var a answer
		if err != nil {
			a.Error = err.Error()
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

// flags gives options as they are written on a command line; only those that a
// stage sets.
func flags(o app.Options) []string {
	out := []string{"--listen=" + o.Listen, "--metrics-listen=" + o.MetricsListen, "--organization=" + o.Organization, "--data-dir=" + o.DataDir,
		"--database=" + o.Database, "--tls=" + o.TLS, "--max-conns=" + strconv.Itoa(o.MaxConns), "--log-level=" + o.LogLevel, fmt.Sprintf("--api-rate=%g", o.APIRate),
		"--apns-host=" + o.APNSHost, "--apns-roots=" + o.APNSRoots}
	for _, path := range o.DeviceCAs {
		out = append(out, "--device-ca="+path)
	}
	if o.DEPURL != "" {
		out = append(out, "--dep-url="+o.DEPURL, "--dep-roots="+o.DEPRoots)
	}
	return out
}

// process is the server as its parent sees it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
	log *os.File

	setUpCode string // with which the console's first administrator is made
}

// elsewhere gives the stage its server: this program's own executable, run
// again. The log goes to the file of the given path.
func (p *process) elsewhere(logPath string) func(context.Context, app.Options) (stage.Server, error) {
	return func(ctx context.Context, o app.Options) (stage.Server, error) {
		a, err := p.start(ctx, o, logPath)
		if err != nil {
			return stage.Server{}, fmt.Errorf("bench: start the server: %w%s", err, tail(logPath))
		}
		ca, err := x509.ParseCertificate(a.CA)
		if err != nil {
			p.stop()
			return stage.Server{}, err
		}
		return stage.Server{URL: a.URL, Addr: a.Addr, Token: a.Token, CA: ca, Stop: p.stop}, nil
	}
}

func (p *process) start(ctx context.Context, o app.Options, logPath string) (a answer, err error) {
	self, err := os.Executable()
	if err != nil {
		return a, err
	}
	if p.log, err = os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return a, err
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), self, append([]string{"bench", "server"}, flags(o)...)...)
	p.cmd.Stderr = p.log
	p.cmd.WaitDelay = time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return a, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return a, err
	}
	if err := p.cmd.Start(); err != nil {
		return a, err
	}
	p.out = json.NewDecoder(out)
	if err := p.out.Decode(&a); err != nil {
		p.stop()
		return a, fmt.Errorf("it said nothing: %w", err)
	}
	p.setUpCode = a.SetUp
	return a, nil
}

// stop ends the server by closing its input, and waits.
func (p *process) stop() {
	p.in.Close()
	p.cmd.Wait() // it was asked to end; why it did is in its log
	p.log.Close()
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// tell sends one command and reads its answer.
func (p *process) tell(command string) error {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return err
	}
	var a answer
	if err := p.out.Decode(&a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// tail is the end of a log, for an error.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return ""
	}
	return "\n" + string(b[max(0, len(b)-2000):])
}
