"""The agent's refusals, one class for each code that a program may act on."""

from __future__ import annotations

import re
from typing import Any, Dict, Type

from ._codes import EXIT_CODES


class Error(Exception):
    """A refusal by the agent, or the failure to reach it."""

    #: Stable, such as NSA-LOCKED; docs/protocol.md lists all of them.
    code: str
    #: What failed, why in plain words, and what to type; the last two may be empty.
    message: str
    why: str
    next: str
    #: What the nsagent command would exit with.
    exit_code: int

    def __init__(self, code: str, message: str, why: str = "", next: str = "") -> None:
        super().__init__(code, message, why, next)
        self.code, self.message, self.why, self.next = code, message, why, next
        self.exit_code = EXIT_CODES.get(code, 1)

    def __str__(self) -> str:
        return self.message + (": " + self.why if self.why else "") + " [" + self.code + "]"


class Unreachable(Error, ConnectionError):
    """The agent cannot be reached, or is not to be trusted (NSA-AGENT)."""


class Timeout(Unreachable, TimeoutError):
    """The agent did not answer within the time that the caller gave it."""


class Locked(Error):
    """The vault is locked: a person has to unlock it (NSA-LOCKED)."""


class NoVault(Error):
    """There is no vault yet (NSA-NOVAULT)."""


class NoProfile(Error):
    """There is no such profile (NSA-NOPROFILE)."""


class Denied(Error):
    """It is not allowed (NSA-DENIED); trying again leaves a record each time."""


class ReadOnly(Denied):
    """The profile is limited to reading (NSA-READONLY)."""


class ForeignHost(Denied):
    """The URL's host is not one of the profile's account (NSA-HOST)."""


class NotAccepted(Denied):
    """The agent takes this process for another one, or for gone (NSA-PEER)."""


class NotGranted(Denied):
    """The unlock token is damaged or of another vault, or cannot be shown (NSA-GRANT)."""


class OutsideGrant(Denied):
    """The unlock token does not allow it (NSA-GRANT-SCOPE)."""


class BadURL(Error, ValueError):
    """The URL cannot be signed as it stands (NSA-URL)."""


class BadRequest(Error, ValueError):
    """The request is malformed, or the profile cannot make it (NSA-REQUEST)."""


class Expired(Error):
    """The credential has expired or was revoked (NSA-EXPIRED)."""


class Revoked(Expired):
    """The grant was revoked (NSA-REVOKED)."""


class Stale(Expired):
    """The sandbox was refreshed, and the credential is from before that (NSA-STALE)."""


class Refused(Error):
    """NetSuite answered, and refused (NSA-NETSUITE)."""


class NetSuiteUnreached(Error):
    """The agent could not reach NetSuite (NSA-NETWORK)."""


class AuditFailed(Error):
    """The agent cannot write its audit log, so it signs nothing (NSA-AUDIT)."""


class Limited(Error):
    """Too much at once: try again later (NSA-LIMITED)."""


class TooOld(Error):
    """The agent is older than this package and lacks the call (NSA-VERSION)."""


class Internal(Error):
    """Something failed in the agent that should not have (NSA-INTERNAL)."""


CLASSES: Dict[str, Type[Error]] = {
    "NSA-AGENT": Unreachable,
    "NSA-AUDIT": AuditFailed,
    "NSA-DENIED": Denied,
    "NSA-EXPIRED": Expired,
    "NSA-GRANT": NotGranted,
    "NSA-GRANT-SCOPE": OutsideGrant,
    "NSA-HOST": ForeignHost,
    "NSA-INTERNAL": Internal,
    "NSA-LIMITED": Limited,
    "NSA-LOCKED": Locked,
    "NSA-NETSUITE": Refused,
    "NSA-NETWORK": NetSuiteUnreached,
    "NSA-NOPROFILE": NoProfile,
    "NSA-NOVAULT": NoVault,
    "NSA-PEER": NotAccepted,
    "NSA-READONLY": ReadOnly,
    "NSA-REQUEST": BadRequest,
    "NSA-REVOKED": Revoked,
    "NSA-STALE": Stale,
    "NSA-URL": BadURL,
    "NSA-VERSION": TooOld,
}


def make(code: str, message: str, why: str = "", next: str = "") -> Error:
    """Return the error for a code; codes of newer agents are kept."""
    return CLASSES.get(code, Error)(code, message, why, next)


def unreachable(why: str) -> Unreachable:
    return Unreachable("NSA-AGENT", "the agent cannot be reached", why, "start it:  nsagent agent start")


def untrusted(why: str) -> Unreachable:
    return Unreachable("NSA-AGENT", "the socket is not to be trusted", why)


def from_answer(answer: Any, status: int) -> Error:
    """Return the refusal that came with an HTTP status other than 200."""
    e = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(e, dict) or not re.fullmatch(r"NSA-[A-Z-]{1,40}", str(e.get("code"))):
        return Internal("NSA-INTERNAL", "the agent answered with an error", "HTTP status %d" % status)
    return make(e["code"], *(one_line(e.get(k, "")) for k in ("message", "why", "next")))


def one_line(text: object) -> str:
    """Keep what another process sent from writing lines or escape sequences of its own."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:2000]).strip()
