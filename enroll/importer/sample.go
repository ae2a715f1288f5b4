package importer

import (
	"bytes"
	_ "embed"
)

//go:embed sample.csv
var sample []byte

// Sample is the file an admin can download to start from. It names every
// ownership and platform, and imports as it is.
func Sample() []byte { return bytes.Clone(sample) }
