package storage

import "testing"

// The lists of tests are as long as it takes to come past each look.
func init() { firstLook, pageWork, fewRows = 3, 15, 4 }

// UsualLooks has a benchmark look as often as the product does.
func UsualLooks(*testing.B) { firstLook, pageWork, fewRows = 500, 5000, 1000 }
