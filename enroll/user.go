package enroll

import "time"

// DefaultDomain is the directory of users that belong to no other.
const DefaultDomain = "local"

// User owns devices and receives enrollment requests. Domain and Email
// together are unique.
type User struct {
	ID        string // UUIDv7
	Domain    string
	Name      string
	Email     string // lower case
	Mobile    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Group is a named set of devices that policies are bound to.
type Group struct {
	ID        string // UUIDv7
	Name      string // unique
	CreatedAt time.Time
	UpdatedAt time.Time
	Devices   int // number of members; filled on reading
}
