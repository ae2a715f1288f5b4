// Package fleet makes many phones at once and drives them with bounded
// concurrency, for demonstrations and measurements. The phones differ in
// everything a server can see except their keys, which come from a pool,
// because thousands of RSA keys would take longer than the measurement.
package fleet
