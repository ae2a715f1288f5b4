// Package plist is the one door for property lists: every list from a device
// or a person is decoded here, every list we send is encoded here, and nothing
// else in the product imports the property list library.
//
//	body ──► size ──► bplist? ──► UTF-8? ──► scan ──────────────► micromdm/plist ──► value
//	                                         nesting, elements,
//	                                         DOCTYPE, structure
//
// The library behind it (micromdm/plist 0.2.2) is recursive. A binary list of
// 43 bytes that contains itself, or 17 MB of nested <array>, overflows the
// stack, which ends the process and cannot be recovered. So binary lists are
// refused (devices send XML), and a linear, non-recursive scan looks at the text
// first; it costs half a microsecond for an Idle message. The scan knows a
// strict subset of XML, and lexes it exactly as encoding/xml does, so that
// nothing can hide from it in a comment, a CDATA section, an attribute or a
// namespace prefix:
//
//   - the root is <plist>, with no attribute but version, around one value;
//   - elements are those of Apple's DTD, without attributes;
//   - a <dict> is pairs of <key> and value, other elements hold text only;
//   - a DOCTYPE has no internal subset, so that no entity can be declared;
//   - nothing but white space and comments follows the root.
//
// Error texts never contain what the list contained: lists carry unlock tokens
// and passcodes, and errors are logged.
//
// What this package does not do: it does not read bodies (cap them with
// http.MaxBytesReader; MaxCheckIn and MaxConnect are the caps), it does not
// refuse a repeated key (the last one counts), it does not check the range of
// integers (they wrap; use int64 in structs), and a <dict> where a struct wants
// a date leaves the date zero.
package plist
