// Package idp is an OpenID provider (OpenID Connect Core 1.0, Discovery 1.0;
// RFC 7636) with one person in front of it, who is signed in at once. It is as
// strict as a provider should be: client, redirect URL, PKCE and one-time codes
// are checked. Lie makes it answer with a token that is wrong.
package idp
