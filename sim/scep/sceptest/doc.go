// Package sceptest is a SCEP authority for tests of the simulator itself,
// built on another CMS library than the client it tests. It can be told to
// misbehave. Product code is tested against the product's own authority.
package sceptest
