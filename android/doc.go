// Package android enrolls and manages Android devices by an agent of their
// own, in the protocol of docs/android-agent.md, and makes what brings a device
// to it: enrollment tokens, QR codes, links and provisioning payloads.
//
//	admin   -> Tokens: a token, shown once, stored as a hash
//	           Provisioning: QR, NFC, zero-touch and Knox payloads with it
//	agent   -> GET  /android/v1/nonce    Nonces: made here, good once
//	        -> POST /android/v1/enroll   token, nonce, signature, attestation
//	             one transaction: gate, enrollment, use of the token
//	        -> PUT  /android/v1/checkin  results in, one command out
//	        -> GET  /android/v1/wait     Waits: woken by the outbox of wakes
//	server  -> FCM   a wake for devices that nobody waits for here (optional)
//
// Every enrollment passes enroll.Gate. An enrollment is told by its public key;
// every later request is signed with it and counted, so that none is taken
// twice. Commands are those of one queue for all protocols.
//
// It does not speak to Google's Android Management API; that is android/amapi.
// It verifies no attestation by itself; see Attestor.
package android
