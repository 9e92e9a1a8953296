// Package audit keeps the agent's log: one JSON line for every use, denial and
// change, each holding the hash of the line before.
//
// # Guarantee
//
// An entry that Append acknowledged has been written to the file: it survives the
// death of the process at any moment. It is fsynced at most 100 ms later, so that a
// power cut can lose the uses of that time; an entry that AppendSync acknowledged
// has been fsynced. Whatever changes, removes, swaps or inserts a line is found by
// [Verify], which names the first entry at fault. Once a write or an fsync has
// failed, every further call fails with [ErrUnavailable] until [Log.Recover]: the
// agent then signs nothing. With [Options].Strict every entry is fsynced before it is
// acknowledged.
//
// The caller must still append before it acts and not act when Append fails. Entries
// at the end of the file can be cut off, and the last of them rewritten, without a
// trace in the file itself: compare the head with one that was kept elsewhere.
//
// # Format
//
// The file audit.jsonl (0600, in a directory of mode 0700) and the closed segments
// audit-N.jsonl before it, N being the number of the first entry in sixteen digits,
// together hold one JSON object a
// line, UTF-8, with no spaces between tokens and its keys in this order:
//
//	seq      number of the entry, from 1, without gaps
//	time     RFC 3339, UTC, always six decimals: 2026-11-22T20:10:42.123456Z
//	event    what was done or tried: lower-case words, see the Event constants
//	outcome  ok, denied or failed
//	reason   code of the refusal, such as NSA-DENIED
//	profile, account, kind, method, host, path, detail: see Event
//	uid, pid of the process that asked; -1 if not known
//	exe      its executable
//	prev     SHA-256 of the line before with its newline, lower-case hex
//
// (uid and pid stand between path and exe; detail follows exe.) A text that is empty
// is left out with its key; seq, time, event, outcome, uid, pid and prev are always
// there. The prev of entry 1 is the SHA-256 of the format's name and a newline,
// "nsagent/audit/v1\n".
//
// In texts only the quotation mark and the reverse solidus are escaped, each by a
// reverse solidus. Control characters (C0, DEL, C1), line and paragraph separators,
// direction marks and byte order marks, and whatever is not UTF-8 have been replaced
// by U+FFFD before; a text over its limit ends in U+2026. Each entry has therefore
// exactly one form, and parsing is strict: formatting what was parsed gives the same
// bytes.
package audit
