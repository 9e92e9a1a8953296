"""TokenPassport for zeep (https://docs.python-zeep.org).

    client = zeep.Client(wsdl, plugins=[TokenPassportPlugin(profile="acme-sb1", version="2025_2")])

Each operation gets a passport of its own, good for one send. A transport that
repeats a request by itself would send it twice: repeat the operation instead.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import zeep
from lxml import etree

from . import _agent

__all__ = ["TokenPassportPlugin"]


class TokenPassportPlugin(zeep.Plugin):
    """Puts a fresh tokenPassport into the header of each envelope."""

    def __init__(
        self, agent: Optional[_agent.Agent] = None, *, profile: Optional[str] = None, version: Optional[str] = None
    ) -> None:
        self.agent = agent or _agent.Agent()
        self.profile = profile
        self.version = version

    def egress(self, envelope: Any, http_headers: Any, operation: Any, binding_options: Any) -> Tuple[Any, Any]:
        passport = etree.fromstring(self.agent.passport(self.version, profile=self.profile).xml)
        space = etree.QName(envelope).namespace
        header = envelope.find("{%s}Header" % space)
        if header is None:
            header = etree.Element("{%s}Header" % space)
            envelope.insert(0, header)
        for old in header.findall(passport.tag):
            header.remove(old)
        header.append(passport)
        return envelope, http_headers
