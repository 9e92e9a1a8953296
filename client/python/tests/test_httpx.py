"""httpx: what arrives is signed, each time anew, and nowhere else."""

import asyncio
import unittest

import httpx

import nsagent
from nsagent.httpx import NSAgentAuth
from stage import CA, FORM, OTHER, SITE, Case, wish

OPTIONS = dict(verify=CA, follow_redirects=True, timeout=30)


class Sync(Case):
    def setUp(self):
        self.client = httpx.Client(auth=NSAgentAuth(profile="site"), **OPTIONS)
        self.addCleanup(self.client.close)

    def test_methods_and_queries(self):
        for method in ("GET", "DELETE", "POST", "PUT"):
            kwargs = {"json": {"ü": 1}} if method in ("POST", "PUT") else {"headers": {"Content-Type": "application/json"}}
            r = self.client.request(method, self.url() + "&name=Zo%C3%AB+%26&b=2&b=1&plus=a%2Bb&q=ü&empty=", **kwargs)
            self.assertEqual(r.status_code, 200, r.text)
            self.hops(1)

    def test_no_signature_twice(self):
        request = self.client.build_request("GET", self.url())
        for _ in range(3):
            self.assertEqual(self.client.send(request).status_code, 200)
        self.hops(3)

    def test_bodies(self):
        for body in (b"{}", iter([b'{"a"', b":1}"])):
            r = self.client.post(self.url(), content=body, headers={"Content-Type": "application/json"})
            self.assertEqual(r.status_code, 200, r.text)
            self.hops(1)
        for body in (b"a=1&b=%C3%BC", iter([b"a=", b"1"])):
            r = self.client.post(SITE + "/services/rest/record/v1/customer", content=body, headers={"Content-Type": FORM})
            self.assertNotIn(r.status_code, (401, 403), r.text)

    def test_redirect_within(self):
        url = self.url()
        r = self.client.get(self.url(to=url))
        self.assertEqual((r.status_code, len(r.history)), (200, 1), r.text)

    def test_other_hosts(self):
        url = self.url(OTHER)
        with self.assertRaises((nsagent.ForeignHost, nsagent.BadURL)):
            self.client.get(url)
        self.client.get(self.url(to=url))
        hops = wish("foreign", url.partition("key=")[2])
        self.assertEqual([h["signed"] for h in hops], [0])

    def test_locked_and_restarted(self):
        url = self.url()
        wish("lock")
        try:
            with self.assertRaises(nsagent.Locked):
                self.client.get(url)
        finally:
            wish("unlock")
        self.hops(0)
        wish("stop")
        wish("start")
        self.assertEqual(self.client.get(url).status_code, 200)


class Async(Case):
    def test_many(self):
        url = self.url()

        async def main():
            async with httpx.AsyncClient(auth=NSAgentAuth(profile="site"), **OPTIONS) as client:
                answers = await asyncio.gather(*(client.get(url) for _ in range(40)))
                form = await client.post(SITE + "/services/rest/record/v1/customer", data={"a": "ü"})
                hop = await client.get(self.url(to=url))
            return {r.status_code for r in answers}, form.status_code, hop.status_code

        ok, form, hop = asyncio.run(main())
        self.assertEqual((ok, hop), ({200}, 200))
        self.assertNotIn(form, (401, 403))


if __name__ == "__main__":
    unittest.main()
