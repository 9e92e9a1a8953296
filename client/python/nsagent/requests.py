"""Signing for requests (https://requests.readthedocs.io).

NSAgentAuth signs what a session sends:

    session = requests.Session()
    session.auth = NSAgentAuth(profile="acme-sb1")

NSAgentAdapter does the same below the session, and so signs anew whenever urllib3
sends a request again; use it, and no auth, where there is a urllib3 ``Retry``:

    session.mount("https://", NSAgentAdapter(profile="acme-sb1", max_retries=Retry(3, status_forcelist=[429])))
"""

from __future__ import annotations

import urllib.parse
from typing import Any, Optional

import requests
import requests.adapters
import requests.auth
import requests.structures
import urllib3.connectionpool

from . import _agent, _errors

__all__ = ["NSAgentAdapter", "NSAgentAuth"]


class NSAgentAuth(requests.auth.AuthBase):
    """Signs each request that is made with it, and each hop of a redirect within a host.

    A redirect to another host is followed without a header, as requests does it.
    """

    def __init__(self, agent: Optional[_agent.Agent] = None, *, profile: Optional[str] = None) -> None:
        self.agent = agent or _agent.Agent()
        self.profile = profile

    def __call__(self, r: Any) -> Any:
        content_type = _str(r.headers.get("Content-Type"))
        if _agent.is_form(content_type) and r.body:
            r.body = _whole(r.body)
            r.headers.pop("Transfer-Encoding", None)
        _sign(self.agent, self.profile, r, r.method, r.url)
        r.register_hook("response", self._next_hop)
        return r

    def _next_hop(self, response: Any, **_: Any) -> None:
        """Put a signature for the next hop where requests takes its headers from."""
        r = response.request
        session = requests.Session()
        location = session.get_redirect_target(response)
        if not location:
            return
        url = urllib.parse.urljoin(r.url, requests.utils.requote_uri(location))
        hop = r.copy()
        r.headers.pop("Authorization", None)
        if session.should_strip_auth(r.url, url):
            return
        session.rebuild_method(hop, response)
        if response.status_code not in (307, 308):
            hop.body = None
        try:
            _sign(self.agent, self.profile, hop, hop.method, url)
        except _errors.Denied:
            return  # it goes without, and NetSuite refuses it
        r.headers["Authorization"] = hop.headers["Authorization"]


class NSAgentAdapter(requests.adapters.HTTPAdapter):
    """Sends through the agent: each send has a signature of its own.

    That holds for redirects and for what urllib3 sends again by ``max_retries``. A
    request to a host that is not the profile's raises ForeignHost, and nothing is
    sent there.
    """

    def __init__(self, agent: Optional[_agent.Agent] = None, *, profile: Optional[str] = None, **kwargs: Any) -> None:
        self.agent = agent or _agent.Agent()
        self.profile = profile
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools()
        return manager

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.headers.pop("Authorization", None)
        if _agent.is_form(_str(request.headers.get("Content-Type"))) and request.body:
            request.body = _whole(request.body)
            request.prepare_content_length(request.body)
            request.headers.pop("Transfer-Encoding", None)
        _sign(self.agent, self.profile, request, request.method, request.url)
        return super().send(request, *args, **kwargs)

    def _pools(self) -> Any:
        adapter = self

        class Signing:
            """Signs in urlopen, which urllib3 calls again for each further try."""

            def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any) -> Any:
                if not isinstance(headers, _Sent):
                    return super().urlopen(method, url, body, _Sent(headers or {}), *args, **kwargs)  # type: ignore[misc]
                pool: Any = self
                port = {"https": 443, "http": 80}.get(pool.scheme)
                host = "[%s]" % pool.host if ":" in pool.host else pool.host
                origin = "%s://%s" % (pool.scheme, host) + ("" if pool.port in (None, port) else ":%d" % pool.port)
                full = url if url.startswith(origin) else origin + url
                content_type = _str(headers.get("Content-Type"))
                form = body if _agent.is_form(content_type) else None
                signed = adapter.agent.sign(full, method, profile=adapter.profile, content_type=content_type, body=form)
                headers = headers.copy()
                headers["Authorization"] = signed.authorization
                return super().urlopen(method, url, body, headers, *args, **kwargs)  # type: ignore[misc]

        class HTTP(Signing, urllib3.connectionpool.HTTPConnectionPool):
            pass

        class HTTPS(Signing, urllib3.connectionpool.HTTPSConnectionPool):
            pass

        return {"http": HTTP, "https": HTTPS}


class _Sent(requests.structures.CaseInsensitiveDict):
    """Headers whose signature was sent, or is about to be."""

    def copy(self) -> Any:
        return _Sent(self.items())


def _sign(agent: _agent.Agent, profile: Optional[str], r: Any, method: str, url: str) -> None:
    """Sign r for a method and a URL, and check that the agent signed just that."""
    content_type = _str(r.headers.get("Content-Type"))
    body = r.body if _agent.is_form(content_type) else None
    url = urllib.parse.urldefrag(url).url
    signed = agent.sign(url, method, profile=profile, content_type=content_type, body=body)
    if signed.url != url:
        raise _errors.make("NSA-INTERNAL", "the agent signed another URL than it was asked to")
    r.headers["Authorization"] = signed.authorization


def _whole(body: Any) -> bytes:
    """Return a form body in one piece: it is part of the signature."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if hasattr(body, "read"):
        data = body.read(_agent.MAX_FORM + 1)
        return data.encode() if isinstance(data, str) else bytes(data)
    return b"".join(p.encode() if isinstance(p, str) else p for p in body)


def _str(value: Any) -> Optional[str]:
    return value.decode("latin-1") if isinstance(value, bytes) else value
