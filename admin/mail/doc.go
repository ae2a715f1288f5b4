// Package mail sends the messages of enrollment requests: e-mail through an
// SMTP server, SMS through a gateway's HTTP hook.
//
//	outbox ─ClaimMessages─► compose ─► SMTP: one connection for a batch ─► server's words
//	   ▲                       │      └► POST, signed ──────────────────► status
//	   └──────FinishMessages◄──┴── verdict: sent, retry, bounced, released
//
// A message is finished by an answer that is about itself, and by nothing else:
//
//	accepted                                          sent
//	5xx to RCPT or DATA; 4xx of the gateway           bounced, with the words of the answer
//	4xx, 421, refused sender or login, TLS, time-out,
//	no connection; 408, 429, 3xx and 5xx of a gateway retry: 30 s doubling to 1 h, for 24 h
//	shutdown, end of the lease                        released: not tried
//
// Each result is stored before the next message is sent, so that a crash sends
// at most one message of a worker twice, and that with the same Message-ID (or
// Idempotency-Key). The two channels work independently of each other.
//
// E-mail has a text and an HTML part and the QR code of the link as an inline
// picture; nothing is loaded from elsewhere. The templates are in templates/,
// one set for each language.
//
// Addresses, names and links are not logged. What this package does not do: it
// decides not who gets a message, keeps no state, and reads no bounces that
// come back as mail.
//
// Sources: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (implicit TLS),
// RFC 3834 (Auto-Submitted).
package mail
