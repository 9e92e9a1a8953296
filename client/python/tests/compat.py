"""A program of each client library, driven by TestCompat: one line of JSON a request.

    {"method": "GET", "url": …, "params": [[…]], "json": …, "form": [[…]], "retry": true, "times": 20}

is answered by the status of each send, or by what a program would catch. The library
puts the URL, the body and the retries together in its own way.
"""

import asyncio
import concurrent.futures
import json
import os
import sys

import nsagent

CA, HERE = os.environ["CA"], os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 30


def use_requests(session):
    def send(q):
        r = session.request(q["method"], q["url"], params=q["params"], json=q.get("json"), data=q.get("form"), headers=q["headers"], timeout=TIMEOUT)
        return r.status_code

    session.verify = CA
    return send


def requests_auth():
    import requests
    from nsagent.requests import NSAgentAuth

    session = requests.Session()
    session.auth = NSAgentAuth(profile="site")
    return requests.__version__, use_requests(session)


def requests_adapter():
    import requests
    import urllib3
    from nsagent.requests import NSAgentAdapter

    session = requests.Session()
    retries = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0, allowed_methods=None)
    session.mount("https://", NSAgentAdapter(profile="site", max_retries=retries))
    return requests.__version__, use_requests(session)


def requests_oauthlib():
    """OAuth1Session, as programs have it, whose auth is replaced."""
    import requests_oauthlib
    from nsagent.requests import NSAgentAuth

    session = requests_oauthlib.OAuth1Session("not-a-key", client_secret="not-a-secret", realm="1234567_SB1")
    session.auth = NSAgentAuth(profile="site")
    return requests_oauthlib.__version__, use_requests(session)


def httpx_client():
    import httpx
    from nsagent.httpx import NSAgentAuth

    client = httpx.Client(auth=NSAgentAuth(profile="site"), verify=CA, follow_redirects=True, timeout=TIMEOUT)
    return httpx.__version__, lambda q: client.request(**httpx_arguments(q)).status_code


def httpx_async():
    import httpx
    from nsagent.httpx import NSAgentAuth

    client = httpx.AsyncClient(auth=NSAgentAuth(profile="site"), verify=CA, follow_redirects=True, timeout=TIMEOUT)

    async def send(q):
        return (await client.request(**httpx_arguments(q))).status_code

    return httpx.__version__, send


def httpx_arguments(q):
    form = q.get("form")
    data = {k: [v for n, v in form if n == k] for k, _ in form} if form else None
    return dict(method=q["method"], url=q["url"], params=q["params"], json=q.get("json"), data=data, headers=q["headers"])


def aiohttp_client():
    """aiohttp has no hook that sees the whole URL: the program signs, and sends just that."""
    import ssl
    import urllib.parse

    import aiohttp
    import yarl

    agent = nsagent.Agent(profile="site")
    trust = ssl.create_default_context(cafile=CA)

    async def send(q):
        url = q["url"] + "?" + urllib.parse.urlencode(q["params"], quote_via=urllib.parse.quote)
        headers, body = dict(q["headers"]), None
        if q.get("form"):
            body, headers["Content-Type"] = urllib.parse.urlencode(q["form"]).encode(), "application/x-www-form-urlencoded"
        if q.get("json"):
            body, headers["Content-Type"] = json.dumps(q["json"]).encode(), "application/json"
        signed = await asyncio.to_thread(agent.sign, url, q["method"], content_type=headers.get("Content-Type"), body=body)
        headers["Authorization"] = signed.authorization
        async with aiohttp.ClientSession() as session:
            async with session.request(
                q["method"], yarl.URL(signed.url, encoded=True), data=body, headers=headers, ssl=trust, allow_redirects=False
            ) as answer:
                return answer.status

    return aiohttp.__version__, send


def urllib_request():
    """The standard library alone: no redirects, as docs/clients.md has it."""
    import platform
    import ssl
    import urllib.error
    import urllib.parse
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    agent = nsagent.Agent(profile="site")
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=CA)))

    def send(q):
        url = q["url"] + "?" + urllib.parse.urlencode(q["params"])
        headers, body = dict(q["headers"]), None
        if q.get("form"):
            body, headers["Content-Type"] = urllib.parse.urlencode(q["form"]).encode(), "application/x-www-form-urlencoded"
        if q.get("json"):
            body, headers["Content-Type"] = json.dumps(q["json"]).encode(), "application/json"
        signed = agent.sign(url, q["method"], content_type=headers.get("Content-Type"), body=body)
        headers["Authorization"] = signed.authorization
        try:
            with opener.open(urllib.request.Request(signed.url, body, headers, method=q["method"]), timeout=TIMEOUT) as answer:
                return answer.status
        except urllib.error.HTTPError as e:
            return e.code

    return platform.python_version(), send


def zeep_client():
    import requests
    import zeep
    from nsagent.zeep import TokenPassportPlugin
    from zeep.transports import Transport

    session = requests.Session()
    session.verify = CA
    plugin = TokenPassportPlugin(profile="site", version="2025_2")
    client = zeep.Client(os.path.join(HERE, "getservertime.wsdl"), transport=Transport(session=session), plugins=[plugin])
    service = client.create_service("{urn:platform_2025_2.webservices.netsuite.com}binding", os.environ["SITE"] + "/services/NetSuitePort_2025_2")
    return zeep.__version__, lambda q: 200 if "T" in service.getServerTime().findtext("{*}serverTime") else 0


def oauth2_session():
    """requests-oauthlib with an access token that an assertion has bought."""
    import requests_oauthlib

    def send(q):
        a = nsagent.Agent(profile="site-m2m").assertion(["restlets"])
        session = requests_oauthlib.OAuth2Session()
        session.verify = CA
        session.token = session.post(a.token_endpoint, withhold_token=True, data={
            "grant_type": "client_credentials", "client_assertion": a.assertion,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, timeout=TIMEOUT).json()
        return session.get(q["url"], params=q["params"], headers=q["headers"], timeout=TIMEOUT).status_code

    return requests_oauthlib.__version__, send


def caught(e):
    """Return what a program catches: its class, and the code of the refusal in it or in its causes."""
    name, code = type(e).__name__, ""
    while e is not None and not code:
        code, e = getattr(e, "code", ""), e.__cause__ or e.__context__
    return {"error": name, "code": str(code)}


def main():
    version, send = globals()[sys.argv[1]]()
    loop = asyncio.new_event_loop()

    def outcome(q):
        try:
            return {"status": send(q)}
        except Exception as e:
            return caught(e)

    async def outcomes(q):
        return await asyncio.gather(*(send(q) for _ in range(q["times"])), return_exceptions=True)

    print(json.dumps({"version": version}), flush=True)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for line in sys.stdin:
            q = json.loads(line)
            q["params"] = [tuple(p) for p in q["params"]]
            q["form"] = [tuple(p) for p in q.get("form", [])] or None
            if asyncio.iscoroutinefunction(send):
                all = [caught(r) if isinstance(r, BaseException) else {"status": r} for r in loop.run_until_complete(outcomes(q))]
            else:
                all = list(pool.map(outcome, [q] * q["times"]))
            print(json.dumps(all), flush=True)


if __name__ == "__main__":
    main()
