package storage

import "testing"

// The lists of tests are as long as it takes to come past each look.
func init() { looks, fewRows = []int{3, 5}, 4 }

// UsualLooks has a benchmark look as often as the product does.
func UsualLooks(*testing.B) { looks, fewRows = []int{500, 4000}, 1000 }
