// Package apns wakes devices: it sends the pushes of the durable outbox to
// Apple's push service and looks after the MDM push certificate.
package apns
