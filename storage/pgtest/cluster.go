package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// Variable names the DSN of a server to use instead of a throw-away cluster;
// its user must be allowed to create databases. "skip" leaves PostgreSQL out.
const Variable = "ROLLCALL_TEST_POSTGRES"

// ErrNoServer: neither a DSN was given nor are server binaries installed.
var ErrNoServer = errors.New("pgtest: no PostgreSQL server binaries in /usr/lib/postgresql/*/bin; install the package postgresql, or set " +
	Variable + " to the DSN of a server")

// Cluster is a PostgreSQL server that databases can be made on.
type Cluster struct {
	admin *url.URL // of a database to create others from
	dir   string   // empty: not ours
	bin   string
	as    *syscall.Credential

	mu      sync.Mutex
	server  *server // nil: paused, or not ours
	created []string
}

// server is one run of the postmaster.
type server struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{}
}

// Start uses the server that Variable names, or makes a cluster and starts it.
func Start() (*Cluster, error) {
	if dsn := os.Getenv(Variable); dsn != "" {
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, fmt.Errorf("pgtest: %s is not a URL", Variable)
		}
		return &Cluster{admin: u}, nil
	}
	bin, version := newestBinaries()
	if bin == "" {
		return nil, ErrNoServer
	}
	dir, err := os.MkdirTemp("", "rollcall-pg-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: bin}
	if err := c.init(version); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := c.Resume(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

// newestBinaries finds the directory of initdb and postgres, "" if there is none.
func newestBinaries() (dir string, version int) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	for _, path := range found {
		bin := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > version {
			dir, version = bin, v
		}
	}
	return dir, version
}

func (c *Cluster) init(version int) error {
	if err := c.unprivileged(); err != nil {
		return err
	}
	args := []string{"-D", filepath.Join(c.dir, "data"), "-U", "rollcall", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if version >= 15 {
		args = append(args, "--locale-provider=icu", "--icu-locale=en-US")
	}
	cmd := exec.Command(filepath.Join(c.bin, "initdb"), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, &syscall.SysProcAttr{Credential: c.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	c.admin = &url.URL{Scheme: "postgres", User: url.User("rollcall"), Path: "/postgres",
		RawQuery: url.Values{"host": {c.dir}, "sslmode": {"disable"}}.Encode()}
	return nil
}

// unprivileged chooses whom the server runs as: it refuses to run as root.
func (c *Cluster) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(c.dir, uid, gid)
	}
	return errors.New("pgtest: we are root, and there is neither a user postgres nor nobody to run the server as")
}

// Resume starts the server of a cluster that is paused.
func (c *Cluster) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" || c.server != nil {
		return nil
	}
	s := &server{exited: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(c.bin, "postgres"), "-D", filepath.Join(c.dir, "data"), "-k", c.dir,
		"-c", "listen_addresses=", "-c", "max_connections=200") // a port could be taken by somebody else meanwhile
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = c.dir, &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Pdeathsig: syscall.SIGQUIT}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, so this
		// one has to live as long as the server.
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	c.server = s
	if err := c.ready(s); err != nil {
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.exited
		c.server = nil
		return err
	}
	return nil
}

func (c *Cluster) ready(s *server) error {
	db, err := open(c.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("pgtest: the server ended:\n%s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("pgtest: the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Pause stops the server at once, as a machine that fails does: connections
// are cut, the data stays. A server that is not ours goes on.
func (c *Cluster) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return
	}
	c.server.cmd.Process.Signal(syscall.SIGQUIT)
	<-c.server.exited
	c.server = nil
}

// Pausable says whether Pause has an effect.
func (c *Cluster) Pausable() bool { return c.dir != "" }

// NewDatabase makes an empty database and gives its DSN.
func (c *Cluster) NewDatabase(name string) (dsn string, err error) { return c.Clone("template0", name) }

// Clone makes a copy of a database that nobody is connected to.
func (c *Cluster) Clone(template, name string) (dsn string, err error) {
	db, err := open(c.admin)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + pq.QuoteIdentifier(name) + " TEMPLATE " + pq.QuoteIdentifier(template)); err != nil {
		return "", fmt.Errorf("pgtest: create database: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.created = append(c.created, name)
	u := *c.admin
	u.Path = "/" + name
	return u.String(), nil
}

// Drop removes a database, also while somebody is connected to it.
func (c *Cluster) Drop(name string) error {
	db, err := open(c.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec("DROP DATABASE IF EXISTS " + pq.QuoteIdentifier(name) + " WITH (FORCE)")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.created = slices.DeleteFunc(c.created, func(n string) bool { return n == name })
	return err
}

// Stop ends the cluster and removes it; on a server that is not ours it
// removes the databases that were made.
func (c *Cluster) Stop() {
	if c.dir == "" {
		for _, name := range slices.Clone(c.created) {
			c.Drop(name)
		}
		return
	}
	c.Pause()
	os.RemoveAll(c.dir)
}

func open(u *url.URL) (*sql.DB, error) {
	connector, err := pq.NewConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("pgtest: the DSN is not valid")
	}
	return sql.OpenDB(connector), nil
}
