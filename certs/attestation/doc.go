// Package attestation verifies Android key attestations: certificates in which
// the secure hardware of a phone says about a key that it holds it, for which
// challenge it was asked, which device it is in, and how that device booted.
// It is the only proof of an Android serial number that does not rest on what
// an app says.
//
//	agent   KeyPair with attestation challenge = the server's nonce, and
//	        device identifiers (DevicePolicyManager.generateKeyPair, ID_TYPE_SERIAL)
//	     -> leaf            the key; extension KeyDescription
//	        attestation key made at the factory, or fetched by the device (RKP)
//	        intermediates   one (factory) or two (RKP)
//	        root            Google's: RSA-4096 (2016), P-384 (2025)
//	Verify  bounds -> root by its key -> signatures, from the root down ->
//	        expiry, revocation -> place of the extension -> key -> challenge ->
//	        hardware, generated there -> identifiers, boot state
//
// Sources: developer.android.com/privacy-and-security/security-key-attestation,
// source.android.com/docs/security/features/keystore/attestation (schema), and
// Google's own verifier, github.com/android/keyattestation.
//
// What differs from path validation as crypto/x509 does it, and why:
//
//   - A root is known by its key and name, because devices carry the issue of
//     the root that was current when they were made; that of 2016 has expired.
//   - Of the extension only the occurrence nearest to the root counts, and it
//     has to be in the leaf. Whoever has an attested key can sign certificates
//     below it, with any extension in them; such a chain is refused as a whole.
//   - The validity of the leaf is not looked at: the device wrote it.
//   - Keys from the factory outlive their certificates: Google says that an
//     expired certificate above such a key is to be trusted (#expired_factory_keys
//     on the first page), for nobody can renew it. Certificates of devices that
//     fetch their keys (RKP: signed below the P-384 root, marked with the
//     extension ProvisioningInfo, or two intermediates) live for weeks and have
//     to be valid.
//   - Certificates above the leaf need not be marked as authorities; old devices
//     do not do it, and the second rule is what keeps chains from growing.
//
// Only the list that the hardware enforces is read. The other one is the word
// of the operating system, which is what is in question.
//
// What it does not do: it does not decide about an unlocked boot loader (see
// Attested.VerifiedBoot), knows no app that asked for the attestation, and does
// not fetch the revocation list from the network by itself (see RevocationList).
// Chains of an attestation key of an app's own (PURPOSE_ATTEST_KEY) are refused.
package attestation
