// Package csv reads people from a CSV file with MyQ's columns.
//
//	sources:
//	  people:
//	    kind: csv
//	    path: people.csv         # or paths: [staff.csv, students.csv]
//	    delimiter: auto          # "," ";" "|" or tab; any one character
//	    encoding: auto           # utf-8, utf-16, windows-1250, iso-8859-2, …
//	    no_header: false         # true: the 15 columns in the documented order, no names
//	    key: ""                  # a column; else EXTID where it is filled, the user name where not
//	    allow_empty: false       # true: a file with a header and nobody in it is no error
//	    allow_open_end: false    # true: a last line without a line end is no error
//
// # Columns
//
// With a header, columns come in any order and their names are the attributes, in capitals; a column
// that is not there is not listed in any record, an empty cell is an attribute without values. A cell
// is one value: [rollcall/pipeline/mapping] cuts comma lists. Other columns than those of [Columns] are read when the
// mapping uses them and warned of when not. PWD is never read.
//
// # What is refused
//
// A file that is missing, empty, truncated (a last line that breaks off or has no line end, a quoted cell that never
// ends), that changed or was replaced while it was read, fails the pass, and so does a row whose key cannot be told:
// nobody could say then who is missing. A row with a key but with too many or too few cells, with bytes
// that are no text, or with the key of another row becomes a record with a Problem. Every message carries file:line.
//
// A file that was cut between two rows is a good one: nothing in it tells that there were more. Then it is the guard that
// holds a run which would deactivate many, and whoever writes the file elsewhere and renames it when it is whole leaves no such file behind.
//
// # Several files
//
// The files of paths are one source. All are opened before the first is read, each is proven whole on its own, and none may have changed until
// the last one was read; one that is bad or missing fails the pass. Each has columns of its own. A key is one person's over all of them:
// rows that share it are refused, with file and line of each. Up to four files are read side by side, and their records
// emitted by the goroutine that called Read.
//
// # Design
//
// A line end is the only mark that a file has of its own end, so a last line without one is never taken for whole: cut inside
// its last cell, it looks like any other row, with another key or value. Not even the rows before it are used: a read that stopped
// changes nothing. allow_open_end is for files whose writer puts line ends between rows only; such a file may be cut anywhere in its last column unseen.
//
// A file is read twice. The first reading judges every row and looks for keys that occur twice; it emits
// nothing, so nothing comes of a bad file. It keeps 16 bytes a row (hash and line number) and no row. The
// second one emits. With `encoding: auto` a reading goes before that looks at the bytes only.
//
// The rows are cut by code of our own and not by encoding/csv, for three things that it cannot do: a
// cell in which a quotation mark appears in the middle (Alice "Al" Smith) is taken as it
// stands instead of breaking the row; a quotation mark that is never closed ends the pass after 1 MiB instead of
// taking the rest of the file into memory; and a last line without a line end is told apart from one with.
// A fuzz test holds it to encoding/csv's results for everything that the latter accepts.
//
// A row with too many or too few cells may have moved its key under another column. Its record carries the
// key that stands in the key's place, so that the row can be reported; Present finds every key whose text occurs in
// such a row, so that the person whose key moved is not taken for absent. Where the key may not be in the
// row at all, or a password or PIN could have moved into its place, the pass fails instead.
//
// The hashes that find duplicates have 64 bits. Two different keys of one hash would be refused as
// duplicates, once in 37 million readings of a file with a million rows, and taken over by the next run.
package csv
