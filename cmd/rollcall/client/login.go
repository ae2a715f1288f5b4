package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Login remembers a connection in client.json in the user's configuration
// folder, which only the user can read.
type Login struct {
	Session
}

// Run implements the command: the token comes from the flags, the environment
// or standard input, and is tried before it is kept.
func (c *Login) Run(ctx context.Context, s *Session) error {
	token, err := s.givenToken()
	if err != nil {
		return err
	}
	if token == "" {
		if terminal(os.Stdin) {
			fmt.Fprint(os.Stderr, "API token: ")
		}
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4<<10)).ReadString('\n')
		if err != nil && err != io.EOF {
			return failed("", "read the token: %v", err)
		}
		token = strings.TrimSpace(line)
	}
	if token == "" {
		return usage("Give it on standard input, with --token-file or in ROLLCALL_TOKEN.", "there is no API token")
	}
	s.Token = token
	if err := s.connect(); err != nil {
		return err
	}
	if _, err := s.do(ctx, get(restrictionsPath, nil)); err != nil {
		return err
	}
	path, err := savedPath()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(saved{Server: s.base.String(), Token: token, CAFile: s.CAFile, Insecure: s.Insecure}, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(path, append(b, '\n')); err != nil {
		return failed("", "keep the login: %v", err)
	}
	_, err = fmt.Printf("%s is the server of this user from now on (%s)\n", s.base, path)
	return err
}

// writePrivate replaces a file by one that only its owner can read.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".client-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of what is left where it was not whole
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
