// Package app wires the rooms of the house into a running server. It is the
// only product package that knows all of them; tests and the demo start it
// in-process on port 0.
package app
