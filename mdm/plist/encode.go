package plist

import (
	"fmt"

	library "github.com/micromdm/plist"
)

// Encode makes an XML property list, keys sorted, without indentation: equal
// values give equal bytes. Struct fields are named by `plist:"Key,omitempty"`
// tags. There is no null in property lists: a nil pointer or nil interface
// anywhere in v, unless left out by omitempty, is an error.
func Encode(v any) (list []byte, err error) {
	defer func() {
		// The library panics on nil instead of telling.
		if r := recover(); r != nil {
			list, err = nil, fmt.Errorf("plist: %T cannot be encoded, is something in it nil?", v)
		}
	}()
	list, err = library.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("plist: encode %T: %w", v, err)
	}
	return list, nil
}
