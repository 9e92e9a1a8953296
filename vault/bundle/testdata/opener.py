#!/usr/bin/python3
"""Opens nsagent bundles with their unlock tokens.

A second implementation, written from "The bundle" of docs/unlock-tokens.md and from
docs/vault-format.md. It exists to show that the pages are enough. Tokens are read by
verifier.py, records by reader.py, which were written from the same pages.

Standard input has a list of tokens and bundles as JSON; standard output gets, for each,
what it opens and which share opens which entry, or the class of what is wrong with it.

Needs the Debian packages python3-cbor2, python3-nacl and python3-argon2.
"""
import base64
import hashlib
import json
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE + "/../../testdata", HERE + "/../../../internal/unlocktoken/testdata"]

import nacl.exceptions  # noqa: E402
import nacl.signing  # noqa: E402
import reader  # noqa: E402
import verifier  # noqa: E402
from verifier import Bad, is_bytes, need  # noqa: E402

BEGIN, END = "-----BEGIN NSAGENT BUNDLE-----\n", "-----END NSAGENT BUNDLE-----\n"
CHALLENGE = b"a challenge of the reader's own"


def armour(data):
    coded = base64.b64encode(data).decode()
    return BEGIN + "".join(coded[i:i + 64] + "\n" for i in range(0, len(coded), 64)) + END


def unarmour(text):
    need(len(text) <= 2 << 20)
    text = text.replace("\r\n", "\n").rstrip("\n") + "\n"
    need(text.startswith(BEGIN) and text.endswith(END))
    try:
        data = base64.b64decode(text[len(BEGIN):-len(END)])
    except ValueError:
        raise Bad("format")
    need(armour(data) == text and len(data) > 64)
    return data[:-64], data[-64:]


def read_notice(data):
    """The issuers that public names, by their URL."""
    notice = verifier.decode(data)
    need(isinstance(notice, dict) and set(notice) <= {1})
    for i in notice.get(1, []):
        need(isinstance(i, dict) and {1} <= set(i) <= {1, 2, 3} and isinstance(i[1], str))
        need(isinstance(i.get(2, b""), bytes) and isinstance(i.get(3, ""), str))
    return [i[1] for i in notice.get(1, [])]


def read_bundle(text, issuer_hash):
    data, signature = unarmour(text)
    body = verifier.decode(data)
    need(isinstance(body, list) and len(body) == 8 and body[:2] == ["nsagent bundle", 1] and len(data) <= 1 << 20)
    _, _, vault, grant, issuer, authority, public, entries = body
    need(is_bytes(vault, 16) and is_bytes(grant, 16) and is_bytes(issuer, 32) and is_bytes(authority, 32))
    need(isinstance(public, bytes) and len(public) <= 256 << 10 and isinstance(entries, list) and 1 <= len(entries) <= 64)
    need(all(isinstance(e, list) and len(e) == 2 and is_bytes(e[0], 16) and isinstance(e[1], bytes) for e in entries))
    need(all(a[0] < b[0] for a, b in zip(entries, entries[1:])))
    need(hashlib.sha256(issuer).digest() == issuer_hash, "issuer")
    try:
        nacl.signing.VerifyKey(issuer).verify(b"nsagent/v1 bundle\0" + data, signature)
    except nacl.exceptions.BadSignatureError:
        raise Bad("signature")
    return vault, grant, issuer, authority, read_notice(public), dict(entries)


class Root(reader.Reader):
    """A reader of records whose root key is a wrap key."""

    def __init__(self, vault, key):
        self.vault, self.vrk, self.trace = vault, key, None

    def opened(self, data):
        r = reader.read_record(data, reader.decode(data, "record")[2])
        reader.need([p[0] for p in r[4]] == ["sign-only"] and len(r[4][0][2]) == 1, "parts of a bundle")
        return self.record(r)


def look(token, bundle):
    issuer_hash, seed, shares, chain = verifier.parse(token)
    vault, grant, issuer, authority_hash, notice, entries = read_bundle(bundle, issuer_hash)
    message = verifier.encode(["nsagent/v1 unlock token proof", chain[-1][2], CHALLENGE])
    verifier.verify(chain, issuer, CHALLENGE, nacl.signing.SigningKey(seed).sign(message).signature)
    authority, blocks = verifier.read_blocks(chain)
    end = min(c[9] for c in blocks if 9 in c)
    need(authority[1:4] == [vault, grant, "detached"] and end - authority[4] <= 90 * 86400, "grant")
    need(hashlib.sha256(chain[0][0]).digest() == authority_hash, "grant")
    opens, pairs = {}, []
    for share, secret in shares:
        for credential, record in entries.items():
            for named in sorted({share, credential}):  # whose key is derived
                key = verifier.wrap_key(authority, chain[0][0], issuer_hash, named, secret, b"")
                try:
                    got = Root(vault, key).opened(record)
                except reader.Damaged:
                    continue
                pairs.append([share.hex(), named.hex(), credential.hex()])
                opens[credential.hex()] = {
                    "name": got["name"], "kind": got["kind"], "meta": got["meta"],
                    "sign_only": got["versions"][0]["sign_only"],
                }
    return {"opens": opens, "pairs": pairs, "issuers": notice}


def main():
    out = []
    for v in json.load(sys.stdin):
        try:
            out.append(look(v["token"], v["bundle"]))
        except Bad as e:
            out.append({"wrong": str(e)})
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
