// Package mdm is Apple's MDM protocol.
package mdm
