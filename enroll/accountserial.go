package enroll

import (
	"crypto/rand"
	"strings"
)

// accountSerial begins what stands in the place of a serial for a device that
// never tells one: enrolled by its user's account, without an enrollment
// request that names a row.
const accountSerial = "ACCOUNT_"

// NewAccountSerial makes the name of a row for such a device.
func NewAccountSerial() string { return accountSerial + rand.Text()[:12] }

// IsAccountSerial says whether a serial in normal form is such a name.
func IsAccountSerial(serial string) bool { return strings.HasPrefix(serial, accountSerial) }
