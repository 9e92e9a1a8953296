#!/usr/bin/python3
"""Opens an nsagent vault and prints what is in it as JSON.

A second implementation, written from docs/vault-format.md alone; numbers in
comments are sections of that page. It exists to show that the page is enough.

    reader.py VAULT KIND SHARE [trace]      SHARE of the keyring in hexadecimal or ""
    reader.py VAULT grant ID                what a grant opens while the vault is locked
    reader.py VAULT machine                 the policy, while the vault is locked

Standard input has the passphrase, the recovery code or the content of the key file; wrap
keys as an object of record id and key, in hexadecimal; the machine key in hexadecimal.

Needs the Debian packages python3-cbor2, python3-nacl and python3-argon2.
"""
import hashlib
import hmac
import json
import os
import re
import sys

import argon2.low_level
import cbor2
import nacl.bindings
import nacl.exceptions
import nacl.signing

MAGIC = "nsagent vault"
HISTORY = 1024
KINDS = ("keyring", "passphrase", "keyring+passphrase", "recovery", "key-file")
WORDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../internal/slotkey/words.txt")


class Damaged(Exception):
    pass


class Newer(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Damaged(what)


def H(data):
    return hashlib.sha256(data).digest()


def encode(value):
    return cbor2.dumps(value, canonical=True)


def decode(data, what):
    try:
        value = cbor2.loads(data)
        again = encode(value)
    except Exception as error:  # whatever the library finds
        raise Damaged(what) from error
    need(again == data, what + ": not in core deterministic encoding")
    return value


def is_uint(v):
    return type(v) is int and 0 <= v < 1 << 64


def is_bytes(v, n=None):
    return type(v) is bytes and (n is None or len(v) == n)


def is_text(v, least, most):
    return type(v) is str and least <= len(v.encode()) <= most


def is_list(v, least, most=None):
    return type(v) is list and least <= len(v) <= (least if most is None else most)


def hkdf(ikm, salt, info, n):  # RFC 5869
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    okm, t, i = b"", b"", 1
    while len(okm) < n:
        t = hmac.new(prk, t + info + bytes([i]), hashlib.sha256).digest()
        okm, i = okm + t, i + 1
    return okm[:n]


def open_sealed(key, aad, sealed):  # 5
    need(len(sealed) >= 73 and sealed[0] == 1, "does not open")
    nonce, commitment, ciphertext = sealed[1:25], sealed[25:57], sealed[57:]
    aad = encode(aad)
    okm = hkdf(key, nonce, aad, 64)
    need(hmac.compare_digest(okm[32:], commitment), "does not open")
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, aad, nonce, okm[:32])
    except nacl.exceptions.CryptoError:
        raise Damaged("does not open") from None


def padded(n):  # 6
    m = n + 1
    if m <= 256:
        return 256
    if m <= 4096:
        return 1 << (m - 1).bit_length()
    e = m.bit_length() - 1
    s = e.bit_length()
    step = 1 << (e - s)
    return (m + step - 1) // step * step


def unpad(p):
    content = p.rstrip(b"\0")
    need(content.endswith(b"\x80") and padded(len(content) - 1) == len(p), "does not open")
    return content[:-1]


def tree_hash(hashes):  # 3, RFC 6962 section 2.1
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return H(b"\1" + tree_hash(hashes[:k]) + tree_hash(hashes[k:]))


def leaf(kind, id, content):
    return (kind, id, H(b"\0" + bytes([kind]) + id + content))


def read_file(data):  # 2
    need(len(data) <= 64 << 20, "file too large")
    need(len(data) > 52 and data[0] >> 5 == 5 and data[0] & 31 <= 23, "not a vault")
    need(data[1:17] == b"\0\x6d" + MAGIC.encode() + b"\1", "not a vault")
    need(H(data[:-32]) == data[-32:], "checksum")
    if data[17] & 31 <= 27 and data[17] not in (1, 2):
        raise Newer("version of the file")
    f = decode(data, "file")
    need(type(f) is dict and f[1] == (2 if 5 in f else 1) and set(f) - {5} == {0, 1, 2, 3, 4, 23}, "file")
    recent = f.get(5, {0: None})
    need(type(recent) is dict and len(recent) > 0, "new blobs")
    need(5 not in f or all(is_bytes(h, 32) and is_list(b, 2) and is_uint(b[0]) and is_bytes(b[1]) for h, b in recent.items()), "new blobs")
    need(is_uint(f[2]) and f[2] >= 1 and is_bytes(f[3]) and type(f[4]) is dict, "file")
    need(len(f[4]) <= 100_000 and all(is_bytes(i, 16) and is_bytes(r) for i, r in f[4].items()), "records")
    return f[2], f[3], f[4], {h: b[1] for h, b in f.get(5, {}).items()}


def read_slot(slot):  # 3 and 7
    need(is_list(slot, 5) and is_bytes(slot[0], 16) and is_bytes(slot[3]) and is_bytes(slot[4], 105), "slot")
    kind, kdf = slot[1], slot[2]
    need(is_list(kdf, 5) and type(kdf[0]) is str and all(is_uint(n) for n in kdf[1:]), "slot")
    if kind not in KINDS or kdf[0] not in ("none", "argon2id"):
        raise Newer("slot")
    if "passphrase" not in kind:
        need(kdf == ["none", 0, 0, 0, 0] and slot[3] == b"", "slot")
        return
    need(kdf[0] == "argon2id" and kdf[1] == 19 and len(slot[3]) == 32, "slot")
    need(19 << 10 <= kdf[2] <= 2 << 20 and 2 <= kdf[3] <= 16 and 1 <= kdf[4] <= 16, "cost out of bounds")


def recovery_key(text):  # 7
    with open(WORDS) as f:
        listed = f.read().split()
    words = [w for w in re.split(r"[ \t\r\n,.-]+", text.decode().lower()) if w]
    if words and words[0] == "nsr1":
        words = words[1:]
    for i, w in enumerate(words):
        need(w in listed, "word %d is none" % (i + 1))
    need(len(words) == 13, "%d words instead of 13" % len(words))
    bits = 0
    for w in words:
        bits = bits << 11 | listed.index(w)
    key, check = (bits >> 15).to_bytes(16, "big"), bits & 0x7FFF
    need(int.from_bytes(H(b"nsagent/v1 recovery code" + key)[:2], "big") >> 1 == check, "check of the code")
    return key


def file_key(text):  # 7
    m = re.fullmatch(r"nsk1_([0-9a-f]{64})(\r?\n)?", text.decode())
    need(m, "key file")
    return bytes.fromhex(m[1])


def manifest_bytes(vault, generation, tree, previous):
    return encode(["nsagent/v1 manifest", vault, generation, tree, previous])


def read_root(data):  # 3, and 8 steps 3 to 5
    need(len(data) <= 64 << 10, "root too large")
    root = decode(data, "root")
    need(is_list(root, 5), "root")
    header, slots, manifest, signature, history = root
    need(is_list(header, 6) and header[0] == MAGIC and is_uint(header[1]) and is_uint(header[2]), "header")
    if header[1] > 1 or header[2] > 1:
        raise Newer("root")
    need(header[1:3] == [1, 1] and is_bytes(header[3], 16) and is_bytes(header[4], 32) and is_uint(header[5]), "header")
    need(is_list(slots, 1, 8), "slots")
    for slot in slots:
        read_slot(slot)
    need(all(a[0] < b[0] for a, b in zip(slots, slots[1:])), "slots out of order")
    need(is_bytes(manifest) and is_bytes(signature, 64), "root")
    m = decode(manifest, "manifest")
    need(is_list(m, 5) and m[0] == "nsagent/v1 manifest" and is_bytes(m[1], 16), "manifest")
    need(is_uint(m[2]) and m[2] >= 1 and is_bytes(m[3], 32) and is_bytes(m[4], 32), "manifest")
    need(is_list(history, 2) and is_bytes(history[0], 32), "history")
    links = min(m[2] - 1, HISTORY)
    need(is_bytes(history[1], 32 * links), "history")
    try:
        nacl.signing.VerifyKey(header[4]).verify(manifest, signature)
    except nacl.exceptions.BadSignatureError:
        raise Damaged("signature") from None
    need(m[1] == header[3], "manifest of another vault")
    before = history[0]
    for i in range(links):
        before = H(manifest_bytes(m[1], m[2] - links + i, history[1][32 * i:32 * i + 32], before))
    need(before == m[4], "history")
    return header, slots, manifest, m


def read_record(data, id):  # 4
    need(len(data) <= 1 << 20, "record too large")
    r = decode(data, "record")
    need(type(r) is list and len(r) >= 2 and is_uint(r[0]) and is_uint(r[1]), "record")
    if r[0] > 5 or (r[0] == 3 and r[1] > 2):
        raise Newer("object")
    need(r[0] == 3 and r[1] in (1, 2) and is_list(r, 5) and r[2] == id and is_bytes(r[3]), "record")
    parts = r[4]
    need(is_list(parts, 1, 2) and all(is_list(p, 3) for p in parts), "parts")
    need([p[0] for p in parts] in (["sign-only"], ["sign-only", "raw"]), "parts")
    for name, ck, versions in parts:
        need(is_bytes(ck, 105) and is_list(versions, 1, 4), "part")
        for v in versions:
            need(is_list(v, 3) and is_uint(v[0]) and v[0] >= 1 and is_bytes(v[1], 105) and is_bytes(v[2]), "version")
        numbers = [v[0] for v in versions]
        need(numbers == sorted(set(numbers), reverse=True), "versions out of order")
        need(numbers == [v[0] for v in parts[0][2]], "versions differ between the parts")
    blobs = [p[0] for p in parts for v in p[2] if len(v[2]) == 32]
    need(set(blobs) == ({"raw"} if r[1] == 2 else set()), "blobs")
    return r


def sealed_padded(sealed, most):
    n = len(sealed) - 73 if is_bytes(sealed) else 0
    return n >= 256 and padded(n - 1) == n and n <= padded(most)


def read_other(data, id, vault):  # 16
    """Returns a grant or the policy as a list, and None for what is neither."""
    if len(data) < 2 or data[0] >> 5 != 4 or data[1] not in (4, 5):
        return None
    need(len(data) <= 1 << 20, "object too large")
    o = decode(data, "object")
    need(type(o) is list and len(o) >= 2 and is_uint(o[0]) and is_uint(o[1]), "object")
    if o[1] > 1:
        raise Newer("object")
    need(is_list(o, 6) and o[1] == 1 and o[2] == id, "object")
    if o[0] == 4:
        need(is_bytes(o[3], 32) and sealed_padded(o[4], 65536) and is_bytes(o[5]) and len(o[5]) % 121 == 0, "grant")
        ids = [record for record, _ in wraps(o)]
        need(len(ids) <= 64 and ids == sorted(set(ids)), "wraps out of order")
    else:
        need(id == vault and is_bytes(o[3], 105) and is_bytes(o[4]) and len(o[4]) in (0, 105), "policy")
        need(sealed_padded(o[5], 262144), "policy")
    return o


def wraps(grant):
    return [(grant[5][i:i + 16], grant[5][i + 16:i + 121]) for i in range(0, len(grant[5]), 121)]


class Reader:
    def __init__(self, path, trace):
        with open(path, "rb") as f:
            data = f.read()
        self.trace, self.path = trace, path
        self.generation, root, self.records, self.recent = read_file(data)
        self.header, self.slots, self.manifest, m = read_root(root)
        self.vault = self.header[3]
        need(m[2] == self.generation, "generation")  # 8, step 6
        leaves = [leaf(1, self.vault, encode(self.header))]
        leaves += [leaf(2, s[0], encode(s)) for s in self.slots]
        leaves += [leaf(3, id, r) for id, r in self.records.items()]
        leaves.sort()
        need(tree_hash([h for _, _, h in leaves]) == m[3], "tree")
        self.say("header", encode(self.header))
        self.say("leaf of the header", leaves[0][2])
        self.say("tree", m[3])
        self.say("manifest", self.manifest)
        self.say("manifest hash", H(self.manifest))
        self.grants, self.policy, self.parsed = {}, None, {}
        for id, r in self.records.items():
            other = read_other(r, id, self.vault)
            if other is None:
                self.parsed[id] = read_record(r, id)
            elif other[0] == 4:
                self.grants[id] = other
            else:
                self.policy = other
        for grant in self.grants.values():
            need(all(record in self.parsed for record, _ in wraps(grant)), "wrap of no record")

    def say(self, what, value):
        if self.trace is not None:
            self.trace[what] = value.hex()

    def unlock(self, kind, given, share):  # 7
        slot = next(s for s in self.slots if s[1] == kind)
        id, _, kdf, salt, sealed = slot
        ikm = b""
        if "passphrase" in kind:
            ikm = argon2.low_level.hash_secret_raw(
                given, salt, time_cost=kdf[3], memory_cost=kdf[2], parallelism=kdf[4],
                hash_len=32, type=argon2.low_level.Type.ID, version=kdf[1])
            self.say(kind + ": Argon2id", ikm)
        if "keyring" in kind:
            need(len(share) == 32, "share")
            ikm += share
        if kind == "recovery":
            ikm = recovery_key(given)
        if kind == "key-file":
            ikm = file_key(given)
        if kind in ("recovery", "key-file"):
            self.say(kind + ": key", ikm)
        kek = hkdf(ikm, id, kind.encode(), 32)
        aad = ["nsagent/v1 slot", 1, self.vault, id, kind, kdf, salt]
        self.vrk = open_sealed(kek, aad, sealed)
        self.say(kind + ": KEK", kek)
        self.say(kind + ": aad", encode(aad))
        self.say(kind + ": okm", hkdf(kek, sealed[1:25], encode(aad), 64))
        self.say(kind + ": sealed VRK", sealed)
        self.say("VRK", self.vrk)
        seed = hkdf(self.vrk, self.vault, b"nsagent/v1 manifest key", 32)
        self.say("seed", seed)
        need(bytes(nacl.signing.SigningKey(seed).verify_key) == self.header[4], "signed by somebody else")

    def blob(self, h, dek):  # 4
        try:
            with open(f"{self.path}.blobs/{h.hex()}", "rb") as f:
                sealed = f.read((4 << 20) + 1)
        except FileNotFoundError:
            sealed = b""
        if H(sealed) != h:
            sealed = self.recent.get(h, b"")
        need(H(sealed) == h, "blob")
        size = 16384 + 73
        chunks = [sealed[i:i + size] for i in range(0, len(sealed), size)]
        plain = b"".join(open_sealed(dek, ["nsagent/v1 blob", 1, self.vault, i, len(chunks)], c) for i, c in enumerate(chunks))
        n = int.from_bytes(plain[:8], "big")
        need(1 <= n <= 4_000_000 and len(plain) == padded(8 + n) and not any(plain[8 + n:]), "does not open")
        return plain[8:8 + n]

    def record(self, r):  # 4 and 5
        _, _, id, sealed, parts = r
        ck = {p[0]: open_sealed(self.vrk, ["nsagent/v1 ck", 1, self.vault, id, p[0]], p[1]) for p in parts}
        return self.record_by(r, ck)

    def record_by(self, r, ck):
        _, _, id, sealed, parts = r
        m = decode(unpad(open_sealed(ck["sign-only"], ["nsagent/v1 metadata", 1, self.vault, id], sealed)), "metadata")
        need(is_list(m, 6) and is_text(m[0], 1, 255) and is_text(m[1], 1, 32) and is_uint(m[2]) and is_bytes(m[5]), "metadata")
        need(m[3] == [p[0] for p in parts], "metadata of other parts")
        need(all(is_list(v, 2) and is_uint(v[1]) for v in m[4]), "metadata")
        need([v[0] for v in m[4]] == [v[0] for v in parts[0][2]], "metadata of other versions")
        versions = []
        for i, (number, created) in enumerate(m[4]):
            out = {"number": number, "created": created, "sign_only": "", "raw": ""}
            for name, _, sealed_versions in parts:
                if name not in ck:
                    continue
                dek = open_sealed(ck[name], ["nsagent/v1 dek", 1, self.vault, id, number, name, H(sealed)], sealed_versions[i][1])
                aad = ["nsagent/v1 content", 1, self.vault, id, number, name]
                if len(sealed_versions[i][2]) == 32:
                    content = self.blob(sealed_versions[i][2], dek)
                    out[name] = f"{len(content)} bytes, SHA-256 {H(content).hex()}"
                else:
                    content = unpad(open_sealed(dek, aad, sealed_versions[i][2]))
                    out[name.replace("-", "_")] = content.hex()
                self.say(f"{m[0]}: sealed CK of {name}", next(p[1] for p in parts if p[0] == name))
                self.say(f"{m[0]}: CK of {name}", ck[name])
                self.say(f"{m[0]}: sealed DEK of {name}, version {number}", sealed_versions[i][1])
                self.say(f"{m[0]}: DEK of {name}, version {number}", dek)
                self.say(f"{m[0]}: aad of {name}, version {number}", encode(aad))
            versions.append(out)
        self.say(f"{m[0]}: H(sealed metadata)", H(sealed))
        self.say(f"{m[0]}: metadata", encode(m))
        return {"id": id.hex(), "name": m[0], "kind": m[1], "created": m[2], "meta": m[5].hex(), "versions": versions}

    def grant_key(self):
        seed = hkdf(self.vrk, self.vault, b"nsagent/v1 grant key", 32)
        self.say("grant seed", seed)
        return bytes(nacl.signing.SigningKey(seed).verify_key)

    def grant(self, g):  # 16
        _, _, id, issuer, sealed, _ = g
        need(issuer == self.grant_key(), "grant of another issuer")
        key = hkdf(self.vrk, self.vault, b"nsagent/v1 grant meta key", 32)
        self.say("grant meta key", key)
        meta = unpad(open_sealed(key, ["nsagent/v1 grant meta", 1, self.vault, id], sealed))
        return {"id": id.hex(), "issuer": issuer.hex(), "meta": meta.hex(), "records": [record.hex() for record, _ in wraps(g)]}

    def granted(self, id, keys):  # 16, without a VRK
        need(id in self.grants, "no such grant")
        out = []
        for record, sealed in wraps(self.grants[id]):
            if record not in keys:
                continue
            aad = ["nsagent/v1 grant ck", 1, self.vault, self.header[4], id, record]
            ck = open_sealed(keys[record], aad, sealed)
            r = self.record_by(self.parsed[record], {"sign-only": ck})
            self.say(r["name"] + ": wrap key", keys[record])
            self.say(r["name"] + ": aad in the grant", encode(aad))
            self.say(r["name"] + ": sealed CK in the grant", sealed)
            out.append({"name": r["name"], "sign_only": r["versions"][0]["sign_only"]})
        return out

    def policy_text(self):  # 16
        if self.policy is None:
            return ""
        _, _, _, sealed, _, text = self.policy
        return self.policy_by(open_sealed(self.vrk, ["nsagent/v1 policy key", 1, self.vault], sealed), text)

    def policy_by(self, key, text):
        self.say("policy: key", key)
        return unpad(open_sealed(key, ["nsagent/v1 policy", 1, self.vault], text)).decode()

    def policy_by_machine(self, machine):  # 16, without a VRK
        need(self.policy is not None, "no policy")
        outer = hmac.new(machine, encode(["nsagent/v1 policy machine", self.vault]), hashlib.sha256).digest()
        self.say("policy: key of the machine", outer)
        key = open_sealed(outer, ["nsagent/v1 policy machine", 1, self.vault, self.header[4]], self.policy[4])
        return self.policy_by(key, self.policy[5])

    def content(self):
        records = sorted((self.record(r) for r in self.parsed.values()), key=lambda r: r["name"])
        need(len({r["name"] for r in records}) == len(records), "two records of one name")
        return {
            "vault": self.vault.hex(),
            "created": self.header[5],
            "generation": self.generation,
            "manifest_hash": H(self.manifest).hex(),
            "slots": [{"id": s[0].hex(), "kind": s[1], "kdf": s[2][2:]} for s in self.slots],
            "records": records,
            "grants": [self.grant(self.grants[id]) for id in sorted(self.grants)],
            "policy": self.policy_text(),
        }


def main(path, kind, share="", trace=""):
    reader = Reader(path, {} if trace else None)
    given = sys.stdin.buffer.read()
    if kind == "grant":
        keys = {bytes.fromhex(record): bytes.fromhex(key) for record, key in json.loads(given).items()}
        content = reader.granted(bytes.fromhex(share), keys)
    elif kind == "machine":
        content = reader.policy_by_machine(bytes.fromhex(given.decode()))
    else:
        reader.unlock(kind, given, bytes.fromhex(share))
        content = reader.content()
    json.dump(reader.trace if trace else content, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Damaged, Newer) as error:
        sys.exit(f"{type(error).__name__.lower()}: {error}")
