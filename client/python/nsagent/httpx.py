"""Signing for httpx (https://www.python-httpx.org).

    client = httpx.Client(auth=NSAgentAuth(profile="acme-sb1"))

It serves Client and AsyncClient. A request that the program sends again is signed
anew. httpx sends the header on with a redirect within the origin, where NetSuite
refuses it since it was used: that hop is then signed and sent once more. With a
redirect to another origin httpx sends no header.
"""

from __future__ import annotations

from typing import Any, AsyncGenerator, Generator, Optional

import httpx

from . import _agent, _errors

__all__ = ["NSAgentAuth"]


class NSAgentAuth(httpx.Auth):
    """Signs each request through the agent."""

    def __init__(self, agent: Optional[_agent.Agent] = None, *, profile: Optional[str] = None) -> None:
        self.agent = agent or _agent.Agent()
        self.profile = profile

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _form(request):
            request.read()
        self._sign(request)
        response = yield request
        if _used_up(response):
            self._sign(response.request)
            yield response.request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        import anyio.to_thread

        if _form(request):
            await request.aread()
        await anyio.to_thread.run_sync(self._sign, request)
        response = yield request
        if _used_up(response):
            await anyio.to_thread.run_sync(self._sign, response.request)
            yield response.request

    def _sign(self, request: httpx.Request) -> None:
        url = str(request.url.copy_with(fragment=None))
        form = request.content if _form(request) else None
        content_type = request.headers.get("Content-Type")
        signed = self.agent.sign(url, request.method, profile=self.profile, content_type=content_type, body=form)
        if signed.url != url:
            raise _errors.make("NSA-INTERNAL", "the agent signed another URL than it was asked to")
        request.headers["Authorization"] = signed.authorization


def _form(request: httpx.Request) -> bool:
    return _agent.is_form(request.headers.get("Content-Type"))


def _used_up(response: Any) -> bool:
    """Report whether a hop within the origin was refused with the header of the first."""
    return bool(response.status_code == 401 and response.history and "Authorization" in response.request.headers)
