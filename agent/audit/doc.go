// Package audit keeps the agent's log: one JSON line for every use, denial and
// change, each holding the hash of the line before.
//
// # Guarantee
//
// An entry that Append acknowledged has been written to the file: it survives the
// death of the process at any moment. It is fsynced at most 100 ms later, so that a
// power cut can lose the uses of that time; an entry that AppendSync acknowledged
// has been fsynced. Whatever changes, removes, swaps or inserts a line is found by
// [CheckDir], which names the first entry at fault. Once a write or an fsync has
// failed, every further call fails with [ErrUnavailable] until [Log.Recover]: the
// agent then signs nothing. With [Options].Strict every entry is fsynced before it is
// acknowledged.
//
// The caller must still append before it acts and not act when Append fails. What
// [Log.StartCheckpoints] has signed cannot be changed or cut off without a trace for
// whoever holds the first key and a checkpoint; what comes after the last of them can.
//
// # Format
//
// docs/audit-log.md is the format of all files, and testdata/verify.py a second
// implementation of it. Each entry has exactly one form, and parsing is strict:
// formatting what was parsed gives the same bytes. What a caller says cannot leave its
// field: control characters (C0, DEL, C1), line and paragraph separators, direction marks
// and byte order marks, and whatever is not UTF-8 are replaced by U+FFFD, and a text over
// its limit ends in U+2026.
package audit
