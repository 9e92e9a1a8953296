"""requests: what arrives is signed, each time anew, and nowhere else."""

import concurrent.futures
import io
import unittest

import requests
import urllib3

import nsagent
from nsagent.requests import NSAgentAdapter, NSAgentAuth
from stage import CA, FORM, OTHER, SITE, Case, wish


def with_auth():
    s = requests.Session()
    s.auth = NSAgentAuth(profile="site")
    s.verify = CA
    return s


def with_adapter(**kwargs):
    s = requests.Session()
    s.mount("https://", NSAgentAdapter(profile="site", **kwargs))
    s.verify = CA
    return s


def both(test):
    """Run a test with the auth class, and with the adapter."""

    def run(self):
        for make in (with_auth, with_adapter):
            with self.subTest(make.__name__), make() as session:
                test(self, session)

    return run


class Both(Case):
    """What holds for the auth class and for the adapter."""

    @both
    def test_methods_and_queries(self, s):
        for method in ("GET", "DELETE", "POST", "PUT"):
            kwargs = {"json": {"ü": "1"}} if method in ("POST", "PUT") else {"headers": {"Content-Type": "application/json"}}
            r = s.request(method, self.url(), params={"name": "Zoë & Söhne", "b": ["2", "1"], "plus": "a+b c", "empty": ""}, **kwargs)
            self.assertEqual(r.status_code, 200, r.text)
            self.hops(1)

    @both
    def test_no_signature_twice(self, s):
        url = self.url()
        for _ in range(3):
            self.assertEqual(s.get(url).status_code, 200)
        self.hops(3)

    @both
    def test_bodies(self, s):
        for body in (b"{}", io.BytesIO(b'{"a":1}'), iter([b'{"a"', b":1}"])):
            r = s.post(self.url(), data=body, headers={"Content-Type": "application/json"})
            self.assertEqual(r.status_code, 200, r.text)
            self.hops(1)

    @both
    def test_forms(self, s):
        # A RESTlet takes no form; NetSuite's token endpoint of the three-step flow
        # does not either. That the signature holds the form, the mock says: a wrong
        # one is refused with 401, a form to a record with 400 or 415.
        url = SITE + "/services/rest/record/v1/customer"
        for body in ({"a": ["1", "2"], "b": "ü &"}, "a=1&b=2", b"a=%C3%BC", io.BytesIO(b"a=1"), iter([b"a=", b"1"])):
            r = s.post(url, data=body, headers={"Content-Type": FORM})
            self.assertNotIn(r.status_code, (401, 403), r.text)

    @both
    def test_fragment(self, s):
        self.assertEqual(s.get(self.url() + "#part").status_code, 200)
        self.hops(1)

    @both
    def test_redirect_within(self, s):
        for code, method in ((307, "POST"), (308, "PUT"), (302, "GET"), (303, "POST")):
            url = self.url()
            r = s.request(method, self.url(to=url, code=code), json={"a": 1})
            self.assertEqual((r.status_code, len(r.history)), (200, 1), r.text)
            self.key = url.partition("key=")[2]
            self.assertEqual(self.hops(1)[0]["body"], '{"a": 1}' if code >= 307 else "")

    @both
    def test_redirect_not_followed(self, s):
        self.assertEqual(s.get(self.url(to=SITE + "/"), allow_redirects=False).status_code, 307)

    @both
    def test_redirect_to_another_host(self, s):
        target = self.url(OTHER)
        try:
            s.get(self.url(to=target))
        except (nsagent.ForeignHost, nsagent.BadURL):
            pass
        for hop in wish("foreign", target.partition("key=")[2]):
            self.assertEqual(hop["signed"], 0)

    @both
    def test_threads(self, s):
        url = self.url()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(s.get, [url] * 80))
        self.assertEqual({r.status_code for r in answers}, {200})
        self.hops(80)

    @both
    def test_locked(self, s):
        url = self.url()
        wish("lock")
        try:
            with self.assertRaises(nsagent.Locked):
                s.get(url)
        finally:
            wish("unlock")
        self.hops(0)

    @both
    def test_restart(self, s):
        self.assertEqual(s.get(self.url()).status_code, 200)
        wish("stop")
        wish("start")
        self.assertEqual(s.get(self.url()).status_code, 200)


class Auth(Case):
    def test_foreign_host(self):
        url = self.url(OTHER)
        with self.assertRaises((nsagent.ForeignHost, nsagent.BadURL)):
            with_auth().get(url)
        self.assertEqual(wish("foreign", self.key), [])

    def test_redirect_the_profile_may_not(self):
        # acme-prod signs nothing for this site, so no header goes there.
        s = with_auth()
        r = s.get(self.url(to=OTHER + "/x?key=none"))
        self.assertNotIn("Authorization", r.request.headers)


class Adapter(Case):
    def test_retries(self):
        retry = urllib3.Retry(5, status_forcelist=[503], backoff_factor=0, allowed_methods=None)
        s = with_adapter(max_retries=retry)
        for kwargs in ({}, {"json": {"a": 1}}, {"data": b'{"a":2}', "headers": {"Content-Type": "application/json"}}):
            r = s.request("POST" if kwargs else "GET", self.url(fail=3), **kwargs)
            self.assertEqual(r.status_code, 200, r.text)
            self.hops(4)

    def test_foreign_host(self):
        url = self.url(OTHER)
        with self.assertRaises((nsagent.ForeignHost, nsagent.BadURL)):
            with_adapter().get(url)
        self.assertEqual(wish("foreign", self.key), [])


if __name__ == "__main__":
    unittest.main()
