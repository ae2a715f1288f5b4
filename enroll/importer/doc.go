// Package importer reads the CSV file that puts devices on the roll.
//
//	bytes -> door (size, UTF-8, no NUL) -> CSV records -> header -> rows
//	                                                        |
//	                                     cells: enums, e-mail, serial, mobile
//	                                                        |
//	                              []enroll.ImportRow, or everything that is wrong
//
// A file is read as a stream and every limit stands before the memory is used.
// Nothing is guessed: a header that is not understood, a value outside its
// enumeration or a serial that is there twice are errors that name line,
// column and value, and a file with errors gives no rows at all.
//
// It does not map foreign headers, does not know other encodings than UTF-8
// and does not look at the roll: what contradicts the roll is found when
// enroll.Roll.Apply writes the rows.
package importer
