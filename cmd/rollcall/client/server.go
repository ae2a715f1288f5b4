package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Server shows how the server is set up.
type Server struct {
	Session
}

// server is what the command prints of the API's answer.
type server struct {
	Version      string    `json:"version"`
	Database     string    `json:"database"`
	PublicURL    string    `json:"public_url"`
	Organization string    `json:"organization"`
	StartedAt    time.Time `json:"started_at"`
	Mail         struct {
		Server   string `json:"server"`
		Security string `json:"security"`
		From     string `json:"from"`
	} `json:"mail"`
	SMS struct {
		Gateway string `json:"gateway"`
	} `json:"sms"`
	Certificates []struct {
		Use      string    `json:"use"`
		Source   string    `json:"source"`
		Subject  string    `json:"subject"`
		NotAfter time.Time `json:"not_after"`
		DaysLeft int       `json:"days_left"`
	} `json:"certificates"`
	Retention []struct {
		What    string `json:"what"`
		Days    int    `json:"days"`
		Setting string `json:"setting"`
	} `json:"retention"`
}

// Run implements the command.
func (c *Server) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get("/server", nil))
	if err != nil {
		return err
	}
	if s.Output != formTable {
		return s.show(raw, columns("version", "database", "public_url", "organization", "started_at", "mail=mail.server", "from=mail.from", "sms=sms.gateway", "reminder_days=messages.reminder_days"))
	}
	var v server
	if err := json.Unmarshal(raw, &v); err != nil {
		return failed("", "the answer of %s does not describe a server", s.base)
	}
	w := bufio.NewWriter(os.Stdout)
	line := func(name, value string) { fmt.Fprintf(w, "%-14s %s\n", name, clean(cmp.Or(value, "none"))) }
	line("version", v.Version)
	line("database", v.Database)
	line("public URL", v.PublicURL)
	line("organization", v.Organization)
	line("started", v.StartedAt.Local().Format(time.DateTime))
	line("mail server", v.Mail.Server)
	line("sender", v.Mail.From)
	line("SMS gateway", v.SMS.Gateway)
	fmt.Fprintln(w, "\nCertificates")
	for _, cert := range v.Certificates {
		if cert.Subject == "" {
			fmt.Fprintf(w, "  %-10s %s\n", clean(cert.Use), clean(cert.Source))
			continue
		}
		fmt.Fprintf(w, "  %-10s %-6s ends %s (%d days)  %s\n", clean(cert.Use), clean(cert.Source), cert.NotAfter.Local().Format(time.DateOnly), cert.DaysLeft, clean(cert.Subject))
	}
	fmt.Fprintln(w, "\nKept for")
	for _, r := range v.Retention {
		kept := fmt.Sprintf("%d days", r.Days)
		if r.Days == 0 {
			kept = "as long as they are not deleted"
		}
		fmt.Fprintf(w, "  %-22s %s %s\n", clean(r.What), kept, clean(r.Setting))
	}
	return w.Flush()
}
