#!/usr/bin/python3
"""Reads and checks nsagent unlock tokens.

A second implementation, written from docs/unlock-tokens.md alone. It exists to show that
the page is enough.

Standard input has the vectors as JSON; standard output gets, for each token, what it says
and which requests it allows, or the class of what is wrong with it. With the argument
"restlets", standard input has paths and queries, and standard output gets their RESTlets.

Needs the Debian packages python3-cbor2 and python3-nacl.
"""
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import sys
import zlib

import cbor2
import nacl.exceptions
import nacl.signing

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KINDS = ("sign", "send", "passport", "connect-password", "assertion", "token")
NAMES = {
    1: "credentials", 2: "kinds", 3: "hosts", 4: "methods", 5: "paths", 6: "scripts", 7: "operations",
    8: "not_before", 9: "not_after", 10: "uses", 11: "rate", 12: "networks", 13: "identities", 14: "peer",
}


class Bad(Exception):
    """What is wrong: format, issuer, signature, unknown or caveats."""


def need(condition, what="format"):
    if not condition:
        raise Bad(what)


def encode(value):
    return cbor2.dumps(value, canonical=True)


def decode(data):
    try:
        value = cbor2.loads(data)
    except Exception:
        raise Bad("format")
    need(plain(value) and encode(value) == data)
    return value


def plain(v):
    """Nothing but what the page has: no tags, floats, booleans or null, no list over 64."""
    if isinstance(v, (list, tuple)):
        return len(v) <= 64 and all(plain(e) for e in v)
    if isinstance(v, dict):
        return all(plain(k) and plain(e) for k, e in v.items())
    return isinstance(v, (bytes, str)) or (isinstance(v, int) and not isinstance(v, bool))


def is_bytes(v, n):
    return isinstance(v, bytes) and len(v) == n


# The string

def parse(text):
    need(len(text) <= 65536 and text.startswith("nst1_") and len(text) > 11)
    body, checksum = text[:-6], text[-6:]
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        digits, number = DIGITS[number % 62] + digits, number // 62
    need(digits == checksum)
    coded = body[5:]
    need(re.fullmatch(r"[A-Za-z0-9_-]*", coded) is not None and len(coded) % 4 != 1)
    data = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
    need(base64.urlsafe_b64encode(data).decode().rstrip("=") == coded)
    need(len(data) >= 66 and data[0] == 1)
    issuer, seed, count, rest = data[1:33], data[33:65], data[65], data[66:]
    need(count <= 64 and len(rest) >= 48 * count)
    shares = [(rest[48 * i:48 * i + 16], rest[48 * i + 16:48 * i + 48]) for i in range(count)]
    need(all(a[0] < b[0] for a, b in zip(shares, shares[1:])))
    chain = read_chain(rest[48 * count:])
    need(bytes(nacl.signing.SigningKey(seed).verify_key) == chain[-1][1])
    return issuer, seed, shares, chain


# The chain

def read_chain(data):
    need(len(data) <= 32768)
    chain = decode(data)
    need(isinstance(chain, list) and 1 <= len(chain) <= 8)
    for block in chain:
        need(isinstance(block, list) and len(block) == 3)
        need(isinstance(block[0], bytes) and is_bytes(block[1], 32) and is_bytes(block[2], 64))
    return chain


def signed(key, message, signature):
    try:
        nacl.signing.VerifyKey(key).verify(encode(message), signature)
    except (nacl.exceptions.BadSignatureError, ValueError, TypeError, nacl.exceptions.CryptoError):
        raise Bad("signature")


def verify(chain, issuer, challenge, proof):
    key, previous = issuer, b""
    for payload, following, signature in chain:
        signed(key, ["nsagent/v1 unlock token block", previous, payload, following], signature)
        key, previous = following, signature
    signed(key, ["nsagent/v1 unlock token proof", previous, challenge], proof)


def read_blocks(chain):
    """Returns the authority and the caveats of each block."""
    authority, all_caveats = decode(chain[0][0]), []
    need(isinstance(authority, list) and len(authority) == 6 and authority[0] == "nsagent/v1 grant")
    _, vault, grant, mode, issued, caveats = authority
    need(is_bytes(vault, 16) and is_bytes(grant, 16) and isinstance(mode, str) and time(issued))
    all_caveats.append(check(caveats))
    need(mode in ("attached", "detached") and 1 in caveats and 9 in caveats and 0 < issued <= caveats[9], "caveats")
    for payload, _, _ in chain[1:]:
        narrowing = decode(payload)
        need(isinstance(narrowing, list) and len(narrowing) == 2 and narrowing[0] == "nsagent/v1 narrowing")
        all_caveats.append(check(narrowing[1]))
    return authority, all_caveats


# Caveats

def texts(v):
    return isinstance(v, list) and len(v) > 0 and all(
        isinstance(s, str) and 1 <= len(s) <= 1024 and all(" " <= c <= "~" for c in s) for s in v) and len(set(v)) == len(v)


def positive(v):
    return isinstance(v, int) and v > 0


def time(v):
    return isinstance(v, int) and v < 2**63


def check(caveats):
    need(isinstance(caveats, dict))
    for key, v in caveats.items():
        need(key in NAMES, "unknown")
        need(v != 0 and v != [])  # it is left out
        need(key not in (8, 9) or time(v))
        ok = {
            1: lambda: isinstance(v, list) and all(is_bytes(i, 16) for i in v) and len(set(v)) == len(v),
            2: lambda: texts(v) and all(k in KINDS for k in v),
            3: lambda: texts(v) and all(h == h.lower() for h in v),
            4: lambda: texts(v) and all(re.fullmatch("[A-Z]{1,16}", m) for m in v),
            5: lambda: texts(v) and all(pattern(p) is not None for p in v),
            6: lambda: texts(v) and all(re.fullmatch("[^/ ?&#=%]+/[^/ ?&#=%]+", s) for s in v),
            7: lambda: texts(v),
            8: lambda: positive(v),
            9: lambda: positive(v) and caveats.get(8, 0) <= v,
            10: lambda: positive(v),
            11: lambda: isinstance(v, list) and len(v) == 2 and positive(v[0]) and positive(v[1]) and v[1] <= 366 * 86400,
            12: lambda: texts(v) and all(network(n) for n in v),
            13: lambda: isinstance(v, list) and all(identity(i) for i in v),
            14: lambda: isinstance(v, list) and len(v) == 2 and peer(*v),
        }[key]()
        need(ok, "caveats")
    return caveats


def network(text):
    try:
        n = ipaddress.ip_network(text)
    except ValueError:
        return False
    mapped = n.version == 6 and n.subnet_of(ipaddress.ip_network("::ffff:0:0/96"))
    return str(n) == text and "%" not in text and not mapped


def unmapped(address):
    return getattr(address, "ipv4_mapped", None) or address


def identity(i):
    return isinstance(i, list) and len(i) == 2 and texts([i[0]]) and isinstance(i[1], list) and len(i[1]) > 0 and all(
        isinstance(c, list) and len(c) == 2 and texts(c[1]) for c in i[1]) and texts([c[0] for c in i[1]])


def peer(uids, executables):
    need(isinstance(uids, list) and all(isinstance(u, int) and 0 <= u < 2**32 for u in uids))
    return (len(set(uids)) == len(uids) and (not executables or texts(executables)) and bool(uids or executables)
            and all(e == "/" or re.fullmatch(r"(/[^/]+)+", e) and not {".", ".."} & set(e.split("/")) for e in executables))


# Paths

def one_reading(path):
    if path == "/":
        return True
    if not path.startswith("/"):
        return False
    for segment in path[1:].split("/"):
        if segment in ("", ".", ".."):
            return False
        left = re.sub(r"%([0-9A-Fa-f]{2})", lambda m: "" if needed(int(m.group(1), 16)) else "%", segment)
        if re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,=:@-]*", left) is None:
            return False
    return True


def needed(octet):
    return octet >= 0x20 and octet != 0x7f and re.fullmatch(rb"[A-Za-z0-9._~/\\%;-]", bytes([octet])) is None


def pattern(text):
    """The segments of a pattern as regular expressions, and whether more may follow."""
    rest = text.endswith("/**")
    body = text[:-3] if rest else text
    if body == "" and rest:
        return [], True
    if not one_reading(body.replace("*", "x")) or any(s.count("*") > 1 for s in body.split("/")):
        return None
    out = []
    for s in body[1:].split("/"):
        before, star, after = s.partition("*")
        one = "(?:[^/%]|%..)"  # an escape is never cut
        any_text = "" if not star else one + ("+" if before == after == "" else "*")
        out.append(re.escape(before) + any_text + re.escape(after))
    return out, rest


def fits(text, path):
    segments, rest = pattern(text)
    if not one_reading(path):
        return False
    expression = "/" + "/".join(segments)
    if rest:
        expression = ("" if not segments else expression) + "/.+" if path != "/" or segments else "/.*"
    return re.fullmatch(expression, path) is not None


# RESTlets

def restlet(path, query):
    """The script/deploy that a request calls; empty where it calls none."""
    found = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name not in ("script", "deploy"):
            if means_one(name):
                return ""
            continue
        if name in found or re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,62}|[1-9][0-9]{0,62}", value) is None:
            return ""
        found[name] = value
    whole = path == "/app/site/hosting/restlet.nl" and len(found) == 2
    return found["script"] + "/" + found["deploy"] if whole else ""


def means_one(name):
    """Whether somebody may read a name as one of the two that it is not."""
    data = name.replace("+", " ").encode()
    for _ in range(4):
        before = data
        data = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m.group(1), 16)]), data)
    return data != before or data.lower().strip() in (b"script", b"deploy")


# What a block allows

def allows(c, r):
    targeted = any(k in c for k in (3, 4, 5, 6, 7))
    address = unmapped(ipaddress.ip_address(r["address"])) if r.get("address") else None
    return all((
        1 not in c or bytes.fromhex(r["credential"]) in c[1],
        2 not in c or r["kind"] in c[2],
        not targeted or r["kind"] in ("sign", "send"),
        3 not in c or r.get("host", "") in c[3],
        4 not in c or r.get("method", "") in c[4],
        5 not in c or any(fits(p, r.get("path", "")) for p in c[5]),
        6 not in c or r.get("script", "") in c[6],
        7 not in c or r.get("operation", "") in c[7],
        8 not in c or r["time"] >= c[8],
        9 not in c or r["time"] <= c[9],
        12 not in c or address is not None and any(address in ipaddress.ip_network(n) for n in c[12]),
        13 not in c or any(i[0] == r.get("issuer") and all(r.get("claims", {}).get(name) in values for name, values in i[1]) for i in c[13]),
        14 not in c or "uid" in r and (not c[14][0] or r["uid"] in c[14][0]) and (not c[14][1] or r.get("executable") in c[14][1]),
    ))


# What opens a credential

def hkdf(secret, salt, info):
    prk = hmac.digest(salt, secret, "sha256")
    return hmac.digest(prk, info + b"\x01", "sha256")


def wrap_key(authority, payload, issuer_hash, credential, share, machine_key):
    _, vault, grant, mode, _, _ = authority
    if mode == "attached":
        share += hmac.digest(machine_key, b"nsagent/v1 agent share" + vault + grant, "sha256")
    info = encode(["nsagent/v1 grant wrap", vault, credential, mode, issuer_hash, hashlib.sha256(payload).digest()])
    return hkdf(share, grant, info)


def named(v):
    """CBOR as the vectors show it: byte strings in hexadecimal."""
    if isinstance(v, bytes):
        return v.hex()
    return [named(e) for e in v] if isinstance(v, list) else v


def look(token, issuer, machine_key):
    issuer_hash, seed, shares, chain = parse(token["text"])
    need(issuer_hash == hashlib.sha256(issuer).digest(), "issuer")
    show = token["presentation"]
    parts = [bytes.fromhex(show[k]) for k in ("vault_id", "instance", "id", "public_key")]
    challenge, proof = encode(["nsagent/v1 redeem", *parts]), bytes.fromhex(show["proof"])
    verify(chain, issuer, challenge, proof)
    authority, blocks = read_blocks(chain)
    own = nacl.signing.SigningKey(seed).sign(encode(["nsagent/v1 unlock token proof", chain[-1][2], challenge])).signature
    need(own == proof, "signature")
    return {
        "grant": authority[2].hex(), "mode": authority[3],
        "blocks": [{NAMES[k]: named(v) for k, v in c.items()} for c in blocks],
        "allowed": [all(allows(c, r) for c in blocks) for r in token.get("requests") or []],
        "wrap_keys": {c.hex(): wrap_key(authority, chain[0][0], issuer_hash, c, s, machine_key).hex() for c, s in shares},
    }


def main():
    vectors = json.load(sys.stdin)
    if sys.argv[1:] == ["restlets"]:
        json.dump([restlet(path, query) for path, query, _ in vectors], sys.stdout)
        return
    out = []
    for token in vectors["tokens"]:
        try:
            out.append(look(token, bytes.fromhex(vectors["issuer"]), bytes.fromhex(vectors["machine_key"])))
        except Bad as e:
            out.append({"wrong": str(e)})
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
