// Package mail is the mail server that an organisation runs: SMTP with STARTTLS
// or implicit TLS under a certificate authority of its own, with or without
// AUTH PLAIN, and mailboxes that take every address.
//
//	EHLO ─ STARTTLS ─ AUTH ─ MAIL ─ RCPT ─ DATA ─► parsed, kept, Wait returns it
//	                                  │       │
//	                                Treat: refuse, defer, wait, never answer
//
// It reads messages strictly, as RFC 5322 and MIME want them: what it cannot
// read it refuses with 554, so that a sloppy sender is found out.
//
// What it does not do: relay, keep mail beyond its own life, or judge senders.
package mail
