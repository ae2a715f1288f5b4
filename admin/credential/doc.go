// Package credential has what people prove themselves with at the console: a
// password and, as a second factor, the codes of an authenticator app.
//
//	password --argon2id--> "$argon2id$v=19$m=...$salt$key", in the database
//	secret ----HMAC-SHA1 of the half minute----> six digits, on the phone
//
// Passwords are hashed by argon2id (RFC 9106). The parameters stand in each
// hash, so that they can be raised later. One hash takes as much memory as it is
// meant to cost an attacker; only a few are computed at a time, and who has to
// wait too long is told to come back.
//
// Codes are those of RFC 6238 with the parameters every app knows: SHA-1, six
// digits, 30 seconds. Verify tells the time step of a code, so that the caller
// can refuse one that was used.
//
// It keeps nothing, counts no attempts and knows no people.
package credential
