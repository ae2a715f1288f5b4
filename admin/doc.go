// Package admin is the admin API and the page a phone opens.
package admin
