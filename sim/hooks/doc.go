// Package hooks is a receiver of webhooks: it takes deliveries over HTTP on the
// loopback interface, checks their signatures by the documentation alone, and
// can be told to behave badly: to answer with any status, to redirect, to
// answer slowly, without end, or never.
package hooks
