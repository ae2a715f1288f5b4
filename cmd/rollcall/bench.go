package main

import "rollcall/cmd/rollcall/bench"

// benchCmd measures by default; the server it measures is a hidden command of
// the same program.
type benchCmd struct {
	Measure bench.Measure `cmd:"" default:"withargs" help:"Measure."`
	Server  bench.Server  `cmd:"" hidden:""`
}
