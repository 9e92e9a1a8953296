"""The way to the agent's socket: where it is, whether it is safe, one HTTP connection."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import struct
import time
from typing import Any, Mapping, Optional, Tuple

from ._errors import Error, NotGranted, Timeout, unreachable, untrusted

# The longest path that fits into a socket address on Linux.
_MAX_PATH = 107


def find(path: Optional[str], environ: Mapping[str, str]) -> str:
    """Return the socket's absolute path: the one named, NSAGENT_SOCK, or the default.

    It raises NotGranted where the environment names an unlock token: this package cannot
    show one, and without it would ask by the right of the user, which is wider.
    """
    for name in ("NSAGENT_TOKEN", "NSAGENT_TOKEN_FILE", "NSAGENT_TOKEN_FD"):
        if name in environ:
            raise NotGranted("NSA-GRANT", "this package cannot show an unlock token", name + " is set", "let nsagent show it:  nsagent exec -- python3 job.py")
    if path:
        path = os.path.abspath(path)
    elif environ.get("NSAGENT_SOCK"):
        path = environ["NSAGENT_SOCK"]
        if not os.path.isabs(path):
            raise Error("NSA-SOCKET", "the agent's socket cannot be found", "NSAGENT_SOCK is not an absolute path")
        path = os.path.normpath(path)
    elif os.path.isabs(environ.get("XDG_RUNTIME_DIR", "")):
        path = os.path.join(environ["XDG_RUNTIME_DIR"], "nsagent", "agent.sock")
    elif os.path.isabs(environ.get("XDG_STATE_HOME", "")):
        path = os.path.join(environ["XDG_STATE_HOME"], "nsagent", "run", "agent.sock")
    elif os.path.isabs(environ.get("HOME", "")):
        path = os.path.join(environ["HOME"], ".local", "state", "nsagent", "run", "agent.sock")
    else:
        raise Error("NSA-USAGE", "the agent's socket cannot be found", "neither NSAGENT_SOCK nor HOME is set")
    if len(os.fsencode(path)) > _MAX_PATH:
        raise Error("NSA-SOCKET", "the socket path is too long", "the system takes %d bytes" % _MAX_PATH)
    return path


def check(path: str, uids: Tuple[int, ...]) -> None:
    """Raise Unreachable unless path is a socket of one of uids, safe from others."""
    try:
        s = os.lstat(path)
        d = os.stat(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        raise unreachable("there is no socket at " + path) from None
    except OSError as e:
        raise unreachable("%s: %s" % (path, e.strerror)) from e
    if stat.S_ISLNK(s.st_mode):
        raise untrusted("%r is a symbolic link" % path)
    if not stat.S_ISSOCK(s.st_mode):
        raise untrusted("%r is not a socket" % path)
    if s.st_uid not in uids:
        raise untrusted("the socket %r belongs to uid %d" % (path, s.st_uid))
    if d.st_mode & stat.S_IWOTH and not d.st_mode & stat.S_ISVTX:
        raise untrusted("everybody may write the directory of %r" % path)


class _Socket(socket.socket):
    """A socket whose reads and writes share one deadline."""

    deadline = 0.0

    def left(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self.settimeout(left)

    def recv_into(self, *args: Any) -> int:
        self.left()
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.left()
        super().sendall(*args)


class Connection(http.client.HTTPConnection):
    """One connection to a server that has been checked."""

    def __init__(self, path: str, uids: Tuple[int, ...], deadline: float) -> None:
        super().__init__("nsagent")
        self.pid = os.getpid()
        check(path, uids)
        self._socket = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._open(path, uids, deadline)
        except BaseException:
            self._socket.close()
            raise
        self.sock = self._socket
        self.auto_open = 0

    def _open(self, path: str, uids: Tuple[int, ...], deadline: float) -> None:
        self._socket.deadline = deadline
        try:
            self._socket.left()
            self._socket.connect(path)
        except socket.timeout:
            raise timed_out() from None
        except OSError as e:
            raise unreachable("nobody listens at %s: %s" % (path, e.strerror)) from e
        # Before the first byte: who listens may be another than who made the path.
        peer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("iIi", peer)
        if uid not in uids:
            raise untrusted("the server at %r belongs to uid %d" % (path, uid))

    def ask(self, method: str, path: str, body: Optional[bytes], deadline: float) -> Tuple[int, bytes, bool]:
        """Return status and body of the answer, and whether the connection can be kept."""
        self._socket.deadline = deadline
        self.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
        response = self.getresponse()
        return response.status, response.read(), not response.will_close


def timed_out() -> Timeout:
    return Timeout("NSA-AGENT", "the agent cannot be reached", "it does not answer in time")
