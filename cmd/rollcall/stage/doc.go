// Package stage sets a server among a simulated Apple: the demo, the benchmark
// and the end-to-end tests all play on it. The server is the real one, over
// real TLS and HTTP/2; only the phones and Apple's clouds are simulated.
package stage
