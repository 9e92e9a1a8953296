"""The calls."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket as sockets
import threading
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar, Union

from . import _errors, _socket

# How many calls of one Agent are under way at once. An agent has 256 connections
# for all programs of a user; a signature takes it well below a millisecond.
_CONNECTIONS = 8
# The largest form that is signed, in bytes.
MAX_FORM = 128 << 10

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Signature:
    """The OAuth 1.0 header of one request, good for one send within five minutes."""

    authorization: str = dataclasses.field(repr=False)
    method: str
    url: str
    account: str
    environment: str
    profile: str
    nonce: str
    timestamp: int


@dataclasses.dataclass(frozen=True)
class Passport:
    """The TokenPassport of one SOAP request; ``xml`` is the header element."""

    account: str
    consumerKey: str
    token: str
    nonce: str
    timestamp: int
    signature: str = dataclasses.field(repr=False)
    algorithm: str
    environment: str
    profile: str
    xml: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class ConnectPassword:
    """User and password of one SuiteAnalytics Connect session."""

    user: str
    password: str = dataclasses.field(repr=False)
    expires_at: str
    account: str
    environment: str
    profile: str


@dataclasses.dataclass(frozen=True)
class Assertion:
    """The client assertion of one token request, and the endpoint to post it to."""

    assertion: str = dataclasses.field(repr=False)
    expires_at: str
    token_endpoint: str
    account: str
    environment: str
    profile: str


@dataclasses.dataclass(frozen=True)
class Token:
    """An OAuth 2.0 access token: whoever has it can do what the role may do, until it ends.

    It is good for a minute at least, or for half of its life. Ask for it anew for each
    use, and do not keep it: while the agent has one, that costs nothing.
    """

    access_token: str = dataclasses.field(repr=False)
    token_type: str
    expires_at: str
    scopes: List[str]
    account: str
    environment: str
    profile: str


@dataclasses.dataclass(frozen=True)
class Profile:
    """A profile that the caller may use."""

    name: str
    account: str
    environment: str
    auth: str
    access: str
    state: str
    expires_at: Optional[str] = None
    last_used: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of the agent; ``raw`` has all that it said."""

    version: str
    pid: int
    locked: bool
    raw: Dict[str, Any] = dataclasses.field(repr=False)


class Agent:
    """The agent behind one socket. It may be used by many threads at once.

    Without ``socket`` it is NSAGENT_SOCK, else $XDG_RUNTIME_DIR/nsagent/agent.sock.
    Sockets and servers of one's own user are trusted, of NSAGENT_SOCK_UID, and of
    ``server_uids``; this is checked for each connection, before a byte is sent.
    ``profile`` names the profile of calls that name none; without it, it is
    NSAGENT_PROFILE, else the agent takes the only one there is. ``timeout`` is how
    long a call may take, in seconds, with all that belongs to it.

    It outlives the agent: where that was stopped and started again, the next call
    connects to the new one. Each call raises Error, in one of its subclasses.
    """

    def __init__(
        self,
        socket: Union[str, "os.PathLike[str]", None] = None,
        *,
        profile: Optional[str] = None,
        timeout: float = 30.0,
        server_uids: Iterable[int] = (),
    ) -> None:
        self.socket = _socket.find(None if socket is None else os.fspath(socket), os.environ)
        self.profile = profile or os.environ.get("NSAGENT_PROFILE", "")
        self.timeout = timeout
        uids = [os.geteuid(), *server_uids]
        if os.environ.get("NSAGENT_SOCK_UID"):
            try:
                uids.append(int(os.environ["NSAGENT_SOCK_UID"]))
            except ValueError:
                raise _errors.Error("NSA-USAGE", "NSAGENT_SOCK_UID is not a user ID") from None
        self._uids = tuple(uids)
        self._turn = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()  # guards _idle
        self._idle: List[_socket.Connection] = []

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_idle"):
            self.close()

    def close(self) -> None:
        """Close the connections that are kept. The agent can still be used."""
        with self._lock:
            idle, self._idle = self._idle, []
        for c in idle:
            c.close()

    def sign(
        self,
        url: str,
        method: str = "GET",
        *,
        profile: Optional[str] = None,
        content_type: Optional[str] = None,
        body: Union[str, bytes, None] = None,
        timeout: Optional[float] = None,
    ) -> Signature:
        """Return the header of one request.

        ``url`` is absolute and percent-encoded as it goes on the wire. ``body``
        matters for forms (application/x-www-form-urlencoded) only: nothing else is
        part of a signature, or sent to the agent.
        """
        q = {"profile": profile or self.profile, "method": method, "url": url, "content_type": content_type}
        if is_form(content_type) and body:
            q["body"] = _text(body)
        return self._call(Signature, "sign", q, timeout)

    def passport(
        self, version: Optional[str] = None, *, profile: Optional[str] = None, timeout: Optional[float] = None
    ) -> Passport:
        """Return the TokenPassport of one SOAP request to the endpoint of a version such as 2025_2."""
        return self._call(Passport, "passport", {"profile": profile or self.profile, "version": version}, timeout)

    def connect_password(self, *, profile: Optional[str] = None, timeout: Optional[float] = None) -> ConnectPassword:
        """Return user and password of one Connect session, to be opened within five minutes."""
        return self._call(ConnectPassword, "connect-password", {"profile": profile or self.profile}, timeout)

    def assertion(
        self,
        scopes: Sequence[str] = (),
        *,
        audience: Optional[str] = None,
        profile: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Assertion:
        """Return the client assertion of one token request; no scopes means all of the profile's."""
        q = {"profile": profile or self.profile, "scope": list(scopes), "aud": audience}
        return self._call(Assertion, "assertion", q, timeout)

    def token(
        self, scopes: Sequence[str] = (), *, profile: Optional[str] = None, timeout: Optional[float] = None
    ) -> Token:
        """Return an access token; no scopes means all of the profile's.

        The agent gets one from NetSuite where it keeps none, which takes as long as that
        takes, however many callers wait.
        """
        return self._call(Token, "token", {"profile": profile or self.profile, "scope": list(scopes)}, timeout)

    def profiles(self, *, timeout: Optional[float] = None) -> List[Profile]:
        """List the profiles that the caller may use."""
        answer = self._ask("GET", "profiles", None, timeout)
        return [_fill(Profile, p) for p in _list(answer)]

    def status(self, *, timeout: Optional[float] = None) -> Status:
        """Tell the state of the agent; it works while locked."""
        answer = self._ask("GET", "status", None, timeout)
        return _fill(Status, {**answer, "raw": answer} if isinstance(answer, dict) else answer)

    def _call(self, kind: Type[_T], name: str, q: Dict[str, Any], timeout: Optional[float]) -> _T:
        body = json.dumps({k: v for k, v in q.items() if v}).encode()
        return _fill(kind, self._ask("POST", name, body, timeout))

    def _ask(self, method: str, name: str, body: Optional[bytes], timeout: Optional[float]) -> Any:
        seconds = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        if not self._turn.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX))):
            raise _socket.timed_out()
        try:
            status, text = self._exchange(method, "/v1/" + name, body, deadline)
        except sockets.timeout:
            raise _socket.timed_out() from None
        except (OSError, http.client.HTTPException) as e:
            if isinstance(e, _errors.Error):
                raise
            raise _errors.unreachable("the connection broke") from e
        finally:
            self._turn.release()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status != 200:
            raise _errors.from_answer(answer, status)
        return answer

    def _exchange(self, method: str, path: str, body: Optional[bytes], deadline: float) -> Tuple[int, bytes]:
        """Ask over a kept connection, else over a new one.

        A connection breaks where the agent was restarted. A signature that got lost
        with it is asked for again, once, on a new connection.
        """
        while True:
            kept = self._take()
            c = kept or _socket.Connection(self.socket, self._uids, deadline)
            try:
                status, text, keep = c.ask(method, path, body, deadline)
            except sockets.timeout:
                c.close()
                raise
            except (OSError, http.client.HTTPException):
                c.close()
                if kept is None:
                    raise
                self.close()  # those of the same time have broken as well
                continue
            except BaseException:
                c.close()  # half a conversation, for example after KeyboardInterrupt
                raise
            if keep:
                with self._lock:
                    self._idle.append(c)
            else:
                c.close()
            return status, text

    def _take(self) -> Optional[_socket.Connection]:
        """Return a kept connection, or None. One from before a fork is the parent's."""
        with self._lock:
            while self._idle:
                c = self._idle.pop()
                if c.pid == os.getpid():
                    return c
                c.close()
        return None


def is_form(content_type: Optional[str]) -> bool:
    """Report whether a Content-Type is that of a form, as the agent decides it."""
    return (content_type or "").partition(";")[0].strip(" \t").lower() == "application/x-www-form-urlencoded"


def _text(body: Union[str, bytes]) -> str:
    if len(body) > MAX_FORM:
        raise _errors.make("NSA-REQUEST", "the form is too long to be signed", "a form body has at most %d bytes" % MAX_FORM)
    try:
        return body if isinstance(body, str) else body.decode()
    except UnicodeDecodeError:
        raise _errors.make("NSA-REQUEST", "the form cannot be signed", "it is not UTF-8: percent-encode it") from None


def _list(answer: Any) -> List[Any]:
    return answer if isinstance(answer, list) else [None]


def _fill(kind: Type[_T], answer: Any) -> _T:
    """Make a kind of what the agent answered; keys that are newer than this package are left out."""
    names = {f.name for f in dataclasses.fields(kind)}
    try:
        return kind(**{k: v for k, v in answer.items() if k in names})
    except (AttributeError, TypeError) as e:
        raise _errors.make("NSA-INTERNAL", "the agent answered in a form that is not understood") from e
