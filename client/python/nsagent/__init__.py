"""Sign NetSuite requests through nsagent, without ever holding a secret.

    from nsagent import Agent

    with Agent(profile="acme-sb1") as agent:
        signed = agent.sign("https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer")

``signed.authorization`` is the header of one request to ``signed.url``, good for
one send within five minutes: before each retry, sign again. The modules
``nsagent.requests``, ``nsagent.httpx`` and ``nsagent.zeep`` do so by themselves;
each is imported only by who uses it. This package needs the standard library only.
"""

from ._agent import Agent, Assertion, ConnectPassword, Passport, Profile, Signature, Status, Token
from ._errors import (
    AuditFailed,
    BadRequest,
    BadURL,
    Denied,
    Error,
    Expired,
    ForeignHost,
    Internal,
    Limited,
    Locked,
    NoProfile,
    NotAccepted,
    NotGranted,
    NoVault,
    NetSuiteUnreached,
    OutsideGrant,
    ReadOnly,
    Refused,
    Revoked,
    Stale,
    Timeout,
    TooOld,
    Unreachable,
)

__all__ = [
    "Agent",
    "Assertion",
    "AuditFailed",
    "BadRequest",
    "BadURL",
    "ConnectPassword",
    "Denied",
    "Error",
    "Expired",
    "ForeignHost",
    "Internal",
    "Limited",
    "Locked",
    "NoProfile",
    "NetSuiteUnreached",
    "NoVault",
    "NotAccepted",
    "NotGranted",
    "OutsideGrant",
    "Passport",
    "Profile",
    "ReadOnly",
    "Refused",
    "Revoked",
    "Signature",
    "Stale",
    "Status",
    "Timeout",
    "Token",
    "TooOld",
    "Unreachable",
]
