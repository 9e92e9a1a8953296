#!/usr/bin/python3
"""Verifies an nsagent audit log: the second implementation, in another language.

Written from docs/audit-log.md alone; numbers in comments are the steps of its
section "Verifying". It exists to show that the page is enough.

    verify.py PLACE [--key KEY]... [--checkpoint FILE]...
    verify.py -                                       a JSON list of these for each line of input

PLACE is a directory with a log, an export or a proof. It prints one JSON object:
ok, first_bad (0 if ok), why, entries, checkpoints, covered, proved, notes.

Needs the Debian package python3-nacl.
"""
import argparse
import base64
import datetime
import glob
import hashlib
import json
import os
import re
import sys

import nacl.exceptions
import nacl.signing

ORIGIN = re.compile(r"nsagent/audit/v1/[0-9a-f]{16}")
PROOF = b"c2sp.org/tlog-proof@v1\n"
DASH = "\u2014 "


class Damaged(Exception):
    pass


class Bad(Exception):
    def __init__(self, seq, why):
        self.seq, self.why = seq, why


def need(condition, what):
    if not condition:
        raise Damaged(what)


def H(data):
    return hashlib.sha256(data).digest()


def unbase64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise Damaged("base64") from None
    need(base64.b64encode(raw).decode() == text, "base64")
    return raw


def check_time(text):
    try:
        datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        raise Damaged("time") from None
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text, re.A), "time")


# Entries

FORBIDDEN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
LIMITS = {"reason": 48, "profile": 64, "account": 64, "kind": 32, "method": 32,
          "host": 255, "path": 256, "exe": 256, "grant": 32, "rule": 64, "detail": 200}


def text(name):
    return rf'(?:,"{name}":"(?P<{name}>(?:[^"\\{FORBIDDEN}]|\\["\\])+)")?'


ENTRY = re.compile(
    r'\{"seq":(?P<seq>[1-9][0-9]*),"time":"(?P<time>[^"]*)"'
    r',"event":"(?P<event>[a-z0-9]+(?:[.-][a-z0-9]+)*)","outcome":"(?:ok|denied|failed)"'
    + "".join(text(n) for n in ("reason", "profile", "account", "kind", "method", "host", "path"))
    + r'(?:,"restlet":"[A-Za-z0-9_-]{1,63}/[A-Za-z0-9_-]{1,63}")?'
    + r',"uid":(?:-1|0|[1-9][0-9]*),"pid":(?:-1|0|[1-9][0-9]*)'
    + "".join(text(n) for n in ("exe", "grant", "rule", "detail"))
    + r',"prev":"(?P<prev>[0-9a-f]{64})"\}\n')


def parse_entry(line):
    need(len(line) <= 4096, "too long")
    try:
        m = ENTRY.fullmatch(line.decode())
    except UnicodeDecodeError:
        m = None
    need(m, "form")
    check_time(m["time"])
    need(len(m["event"]) <= 32, "event")
    for name, limit in LIMITS.items():
        if m[name]:
            need(len(re.sub(r"\\(.)", r"\1", m[name]).encode()) <= limit, name)
    need(not re.search("[?#]", m["path"] or ""), "path")
    need(int(m["seq"]) < 1 << 64, "seq")
    return int(m["seq"]), bytes.fromhex(m["prev"])


def seq_of(line):
    m = re.match(rb'\{"seq":([0-9]+),', line)
    return int(m[1]) if m else 0


# The Merkle tree: the roots of its complete subtrees, the largest first

def node(left, right):
    return H(b"\1" + left + right)


def leaf(line):
    return H(b"\0" + line)


class Tree:
    def __init__(self, size=0, peaks=()):
        self.size, self.peaks = size, list(peaks)

    def add(self, line):
        h, n = leaf(line), self.size
        while n & 1:
            h, n = node(self.peaks.pop(), h), n >> 1
        self.peaks.append(h)
        self.size += 1

    def root(self):
        h = self.peaks[-1]
        for p in reversed(self.peaks[:-1]):
            h = node(p, h)
        return h


def path_root(line, index, size, path):  # RFC 9162, 2.1.3.2
    need(index < size, "index")
    fn, sn, r = index, size - 1, leaf(line)
    for p in path:
        need(sn != 0, "path too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "path too short")
    return r


# Checkpoints

class Key:
    def __init__(self, text):
        name, _, rest = text.partition("+")
        hash, _, encoded = rest.partition("+")
        raw = unbase64(encoded)
        need(ORIGIN.fullmatch(name) and len(raw) == 33 and raw[0] == 1, "key")
        self.text, self.origin, self.hash, self.public = text, name, H(name.encode() + b"\n" + raw)[:4], raw[1:]
        need(self.hash.hex() == hash, "key")

    def starts(self):
        return self.origin == "nsagent/audit/v1/" + H(self.public)[:8].hex()


class Checkpoint:
    def __init__(self, note):
        need(len(note) <= 4096, "too long")
        try:
            body, _, signature = note.decode().partition("\n\n" + DASH)
        except UnicodeDecodeError:
            raise Damaged("form") from None
        need(signature.endswith("\n"), "signature")
        lines = body.split("\n")
        need(len(lines) in (7, 8), "lines")
        self.note, self.body = note, (body + "\n").encode()
        self.origin = lines[0]
        need(ORIGIN.fullmatch(self.origin), "origin")
        need(re.fullmatch("[1-9][0-9]*", lines[1], re.A) and int(lines[1]) < 1 << 63, "size")
        self.size = int(lines[1])
        self.root = unbase64(lines[2])
        need(re.fullmatch("head [0-9a-f]{64}", lines[3]), "head")
        self.head = bytes.fromhex(lines[3][5:])
        need(lines[4].startswith("tree "), "tree")
        self.peaks = [unbase64(p) for p in lines[4][5:].split(" ")]
        need(all(len(h) == 32 for h in self.peaks + [self.root]), "tree")
        need(len(self.peaks) == bin(self.size).count("1") and Tree(0, self.peaks).root() == self.root, "tree")
        need(lines[5].startswith("time "), "time")
        check_time(lines[5][5:])
        self.start = None
        if len(lines) == 8:
            need(lines[6].startswith("start "), "start")
            self.start = Key(lines[6][6:])
            need(self.start.origin == self.origin and self.start.starts(), "start")
        need(lines[-1].startswith("next "), "next")
        self.next = Key(lines[-1][5:])
        need(self.next.origin == self.origin, "next")
        name, _, encoded = signature[:-1].partition(" ")
        raw = unbase64(encoded)
        need(name == self.origin and len(raw) == 68, "signature")
        self.hash, self.signature = raw[:4], raw[4:]

    def signed_by(self, key):
        if key.origin != self.origin or key.hash != self.hash:
            return False
        try:
            nacl.signing.VerifyKey(key.public).verify(self.body, self.signature)
        except nacl.exceptions.BadSignatureError:
            return False
        return True


def split_notes(data):
    """The notes of a file of checkpoints, and whether what is left at the end is none."""
    parts = data.split(b"\n\n")
    notes = [a + b"\n\n" + b + b"\n" for a, b in zip(parts[::2], parts[1::2])]
    if parts[-1] == b"":
        return notes[:len(parts) // 2], b""
    if len(parts) % 2 == 0:  # the last note lacks the blank line behind it
        return notes[:-1], parts[-2] + b"\n\n" + parts[-1]
    return notes, parts[-1]


# What a log holds in order: ("line", bytes), ("checkpoint", note) and ("proof", bytes)

def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def items_of_stream(data):
    while data:
        if data.startswith(b"n"):
            end = data.find(b"\n\n", data.find(b"\n\n") + 2)
            note, data = (data, b"") if end < 0 else (data[:end + 1], data[end + 2:])
            yield "checkpoint", note
        elif data.startswith(b"c"):
            yield "proof", data
            return
        else:
            line, newline, data = data.partition(b"\n")
            yield "line", line + newline


def read_key_file(path):
    """The checkpoints in audit.key, or None."""
    try:
        head, _, rest = read_file(path).partition(b"\n\n")
    except FileNotFoundError:
        return None
    if not head.startswith(b"nsagent/audit/key/v1\n"):
        return None
    return split_notes(rest)[0]


def items_of_directory(place, notes):
    checkpoints, left = [], b""
    path = os.path.join(place, "audit.checkpoints")
    if os.path.exists(path):
        checkpoints, left = split_notes(read_file(path))
        try:
            Checkpoint(left)
            checkpoints.append(left)  # only its blank line is missing
        except Damaged:
            pass  # a crash cut it off
    kept = read_key_file(os.path.join(place, "audit.key"))
    size = lambda note: int(note.split(b"\n")[1]) if re.match(rb"[^\n]*\n[0-9]{1,19}\n", note) else 0
    newest = size(checkpoints[-1]) if checkpoints else 0
    if kept:
        if size(kept[-1]) < newest:
            notes.append("audit.key is older than the checkpoints")
        checkpoints += [note for note in kept if size(note) > newest]
    closed = sorted(glob.glob(os.path.join(place, "audit-*.jsonl")))
    data = b"".join(read_file(p) for p in closed + [os.path.join(place, "audit.jsonl")])
    at = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        while checkpoints and (size(checkpoints[0]) <= at or (at == 0 and size(checkpoints[0]) < seq_of(line))):
            yield "checkpoint", checkpoints.pop(0)
        yield "line", line
        at = max(at, seq_of(line))
    for note in checkpoints:
        yield "checkpoint", note


class Verifier:
    def __init__(self, keys, held, whole):
        self.keys, self.held, self.whole = keys, held, whole
        self.first = 0  # number of the first entry
        self.entries = self.checkpoints = 0
        self.last, self.last_hash = 0, H(b"nsagent/audit/v1\n")
        self.before = self.last_prev = None
        self.checkpoint = None  # the last one
        self.starts, self.seen = set(), set()
        self.tree = Tree()
        self.covered = 0
        self.proved = 0

    def trusting(self):
        return bool(self.keys or self.held)

    def bad_checkpoint(self, why):
        raise Bad(max(self.covered + 1, self.first, 1), why)

    def run(self, items):
        items = list(items)
        for i, (what, data) in enumerate(items):
            if what == "line":
                after = next((d for w, d in items[i + 1:] if w == "line"), None)
                self.line(data, after)
            elif what == "proof":
                self.proof(data)
            else:
                self.take(data)
        self.end()

    def line(self, line, after):  # 2
        want = self.last + 1
        if self.first == 0:
            want = self.begin(line)
        try:
            seq, prev = parse_entry(line)
        except Damaged as d:
            raise Bad(want, f"the line of entry {want} cannot be read: {d}") from None
        if self.entries and seq == self.last and prev == self.last_prev and H(line) != self.last_hash:
            raise Bad(seq, f"there are two different entries {seq}")
        if seq != want:
            raise Bad(want, f"entry {seq} stands in the place of entry {want}")
        if prev != self.last_hash:
            if self.entries == 0:
                raise Bad(want, "it does not follow the start of the log")
            raise Bad(self.which(line, after, want), f"prev of entry {want} is not the hash of the one before")
        self.before, self.last_prev = self.last_hash, prev
        self.last, self.last_hash = seq, H(line)
        self.first = self.first or seq
        self.entries += 1
        if self.tree:
            self.tree.add(line)
        for h in self.held:
            if h.size == seq and h.head != self.last_hash:
                self.bad_checkpoint(f"entry {seq} is not the one that the checkpoint you hold covers")

    def which(self, line, after, seq):
        repaired = line[:-67] + self.last_hash.hex().encode() + b'"}\n'
        try:
            if after and parse_entry(after)[1] == H(repaired):
                return seq
        except Damaged:
            pass
        return seq - 1

    def begin(self, line):  # 4
        first = seq_of(line)
        if self.checkpoint and self.checkpoint.size >= first:
            self.bad_checkpoint("a checkpoint stands before the entries that it covers")
        if first <= 1:
            return 1
        if not self.trusting():
            raise Bad(1, f"entries 1 to {first - 1} are not here")
        self.tree, self.last = None, first - 1
        for c in self.held + ([self.checkpoint] if self.checkpoint else []):
            if c.size == first - 1:
                self.tree, self.last_hash = Tree(c.size, c.peaks), c.head
                self.covered = c.size
                return first
        try:
            self.last_hash = parse_entry(line)[1]  # a later checkpoint must cover it
        except Damaged:
            pass
        return first

    def take(self, note):  # 3
        try:
            c = Checkpoint(note)
        except Damaged as d:
            self.bad_checkpoint(f"a checkpoint cannot be read: {d}")
        before = self.checkpoint
        if before and c.size <= before.size:
            self.bad_checkpoint("sizes do not grow")
        mine = [h for h in self.held if h.size == c.size]
        if any(h.note != c.note for h in mine):
            self.bad_checkpoint(f"the checkpoint of {c.size} entries is not the one that you hold")
        self.seen |= {h.size for h in mine}
        if not mine or c.start or before:
            if not c.signed_by(self.key_of(c)):
                self.bad_checkpoint(f"the checkpoint of {c.size} entries is not signed by the key that it should be")
        if self.first:
            if self.last < c.size:
                raise Bad(self.last + 1, f"entry {self.last + 1} is missing: a checkpoint covers {c.size}")
            if self.last > c.size or c.head != self.last_hash or (self.tree and self.tree.root() != c.root):
                self.bad_checkpoint(f"the checkpoint of {c.size} entries covers others")
            self.tree, self.covered = Tree(c.size, c.peaks), c.size
        self.checkpoint = c
        self.checkpoints += 1

    def key_of(self, c):
        if not c.start:
            if self.checkpoint:
                return self.checkpoint.next
            for h in self.held:
                if c.signed_by(h.next):
                    self.seen.add(h.size)
                    return h.next
            self.bad_checkpoint(f"the checkpoints before that of {c.size} entries are missing")
        if c.start.text in self.starts:
            self.bad_checkpoint("a key starts a chain twice")
        vouched = not self.keys and c.size <= max((h.size for h in self.held), default=0)
        if self.trusting() and c.start.text not in self.keys and not vouched:
            self.bad_checkpoint(f"key {c.start.text} starts a chain, and you do not hold it")
        self.starts.add(c.start.text)
        return c.start

    def proof(self, data):  # 6
        head, _, note = data[len(PROOF):].partition(b"\n\n")
        try:
            need(data.startswith(PROOF), "first line")
            fields = head.decode().split("\n")
            need(len(fields) >= 2 and fields[0].startswith("extra "), "extra")
            m = re.fullmatch("index (0|[1-9][0-9]*)", fields[1], re.A)
            need(m, "index")
            line, path = unbase64(fields[0][6:]), [unbase64(h) for h in fields[2:]]
            need(all(len(h) == 32 for h in path), "path")
        except (Damaged, UnicodeDecodeError) as d:
            raise Bad(1, f"the proof cannot be read: {d}") from None
        seq = int(m[1]) + 1
        if self.first or note.count(b"\n\n") != 1:
            raise Bad(seq, "something stands before or behind the proof")
        self.first = self.last = 0
        self.take(note)
        try:
            need(parse_entry(line)[0] == seq, "it is another entry")
            need(path_root(line, seq - 1, self.checkpoint.size, path) == self.checkpoint.root, "it is not in the tree")
        except Damaged as d:
            raise Bad(seq, f"entry {seq}: {d}") from None
        self.proved, self.entries = seq, 1

    def end(self):  # 5
        held = max((h.size for h in self.held), default=0)
        if self.first > 1 and not self.covered:
            self.bad_checkpoint(f"no checkpoint covers entry {self.first}")
        if self.keys and not self.checkpoint:
            self.bad_checkpoint("there is no checkpoint")
        if self.whole and not self.first and self.checkpoint:
            held = max(held, self.checkpoint.size)
        if (self.whole or self.first) and held > self.last:
            raise Bad(self.last + 1, f"entry {self.last + 1} is missing: a checkpoint covers {held}")
        for h in self.held:
            if h.size not in self.seen and not self.proved:
                self.bad_checkpoint(f"the checkpoint of {h.size} entries that you hold is not there")


def verify(arguments):
    p = argparse.ArgumentParser()
    p.add_argument("place")
    p.add_argument("--key", action="append", default=[])
    p.add_argument("--checkpoint", action="append", default=[])
    o = p.parse_args(arguments)
    held, notes = [], []
    for path in o.checkpoint:
        held += [Checkpoint(n) for kind, n in items_of_stream(read_file(path)) if kind == "checkpoint"]
    whole = os.path.isdir(o.place)
    items = items_of_directory(o.place, notes) if whole else items_of_stream(read_file(o.place))
    v, bad = Verifier([Key(k).text for k in o.key], held, whole), None
    try:
        v.run(items)
    except Bad as b:
        bad = b
    print(json.dumps({"ok": bad is None, "first_bad": bad.seq if bad else 0, "why": bad.why if bad else "",
                      "entries": v.entries, "checkpoints": v.checkpoints,
                      "covered": v.checkpoint.size if v.checkpoint else 0, "proved": v.proved, "notes": notes}), flush=True)
    return bad is None


def main(arguments):
    if arguments == ["-"]:
        for line in sys.stdin:
            verify(json.loads(line))
        return 0
    return 0 if verify(arguments) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
