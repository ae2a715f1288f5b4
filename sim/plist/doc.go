// Package plist reads and writes XML property lists the way a device does:
// XML only, every key once per dictionary, no stray text, nothing after the
// end. It is written from the plist DTD and shares no code with the library
// the product uses, so that the two check each other.
//
// Values are string, int64, float64, bool, []byte, time.Time, []any and
// map[string]any; Marshal takes int and []string as well.
package plist
