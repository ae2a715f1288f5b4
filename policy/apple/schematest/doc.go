// Package schematest holds what this server sends to Apple devices against
// Apple's own description of it: profiles, commands and declarations, with
// their types, enumerations, ranges and required keys, and for one device its
// system version, supervision and user enrollment.
//
// The description (derived from github.com/apple/device-management, MIT) lies
// beside the repository and is no part of it. The package is for tests.
package schematest
