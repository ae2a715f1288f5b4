// Package client is the command line that administers a server: every command
// is one or a few calls of the admin API, never of the database.
//
//	flags, ROLLCALL_*, client.json -> Session -> call -> answer -> table, json or csv
//	                                             |
//	                                             +-> problem -> stderr, exit code
//
// Session holds the connection and the form of output, and belongs to each
// group of commands. A call is repeated where the server asks for patience
// (429, 503 with Retry-After); a POST carries an Idempotency-Key, so that a
// repetition changes nothing twice. Answers are bounded, lists and exports are
// streamed, and a call ends when nothing has moved for the time of --timeout.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or refused as invalid, 3 conflict
// with what is there already.
package client
