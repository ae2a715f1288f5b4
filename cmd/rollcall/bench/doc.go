// Package bench measures a server as it runs in earnest: a process of its own,
// real TLS, real signatures, and on PostgreSQL a cluster of its own that writes
// durably. Only the phones and Apple's push service are simulated, in the
// measuring process.
//
//	bench ── child process: the server ── PostgreSQL cluster, or an SQLite file
//	  │              │
//	  │              └── pushes ──> sim/apns (in bench)
//	  ├── phones enroll (sim/fleet), 8 at a time
//	  ├── load: signed requests made beforehand, over keep-alive connections
//	  └── SQL: history, a full roll and full outboxes, written in bulk
//
// What is wanted stands in rows.go beside what is measured, and report.go makes
// the document of both: targets met and missed, where the CPU time went, and
// for each missed target a profile of one more run.
//
// It does not measure networks: everything is on one machine, so that phones,
// server and database share its cores. It needs Linux, for /proc.
package bench
