// Package certstest has what tests of other rooms need from certs: an
// IdentityStore in memory, and a miniature of Apple's device CA with which they
// forge machine info. Product code does not import it.
package certstest
