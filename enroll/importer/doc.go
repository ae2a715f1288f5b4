// Package importer brings CSV files onto the roll.
//
// A file is read as a stream, in memory that does not grow with it but for the
// serials seen:
//
//	bytes -> Nature (what are they?) -> charset -> records (RFC 4180) -> columns -> rows
//	                                                                      |
//	         header synonyms, presets, the admin's mapping ---------------+
//
// Every limit stands before the memory is used, and a bad record, row or cell
// is an error of its own that names line, column and value, while the rest is
// read. Nothing is guessed silently: a code page is named by the admin, a
// column that is not surely understood is suggested and not taken, and one that
// is not used is told.
//
// Imports keeps files and does the work on them, in any number of servers:
//
//	upload -> uploaded -> planning -> planned -> applying -> applied -> reverting -> reverted
//	                         |           ^  |        |
//	                         v           |  |        +-- the roll has changed: planned anew
//	                       failed --change  +-- cancelled
//
// What is planned and how rows of a file change rows of the roll is decided by
// enroll.PlanImportRow; the store writes a plan in one transaction. A worker
// holds an import by a lease, so that another goes on where one was killed.
//
// It does not read workbooks, and sends nothing to anybody.
package importer
