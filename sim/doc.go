// Package sim is the floor of the simulated outside world: devices and vendor
// clouds that Rollcall is tested, demonstrated and measured against.
//
// Nothing below sim imports a product package. A simulated peer that shared a
// decoder, a certificate check or a constant with the product would share its
// bugs as well, and a test between the two would pass. A test in this folder
// holds that rule.
package sim
