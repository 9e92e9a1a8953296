"""The calls, against a real agent."""

import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import nsagent
from nsagent import _errors
from stage import FORM, SITE, Case, wish

HOST = "https://1234567-sb1.suitetalk.api.netsuite.com"


class Calls(Case):
    def test_sign(self):
        with nsagent.Agent(profile="acme-sb1") as agent:
            s = agent.sign(HOST + "/services/rest/record/v1/customer?q=%C3%BC", "DELETE")
        self.assertTrue(s.authorization.startswith('OAuth realm="1234567_SB1"'))
        self.assertEqual((s.method, s.account, s.environment, s.profile), ("DELETE", "1234567_SB1", "sandbox", "acme-sb1"))
        self.assertLess(abs(s.timestamp - time.time()), 60)
        self.assertNotIn(s.nonce + "x", repr(s))
        self.assertNotIn("oauth_signature", repr(s))

    def test_unlock_token(self):
        os.environ["NSAGENT_TOKEN"] = "nst1_canary"
        try:
            with self.assertRaises(nsagent.Error) as caught:
                nsagent.Agent(profile="acme-sb1")
        finally:
            del os.environ["NSAGENT_TOKEN"]
        self.assertEqual(caught.exception.code, "NSA-GRANT")
        self.assertNotIn("canary", str(caught.exception))

    def test_the_others(self):
        agent = self.agent()
        p = agent.passport("2025_2", profile="acme-sb1")
        self.assertEqual((p.account, p.algorithm), ("1234567_SB1", "HMAC-SHA256"))
        self.assertIn("tokenPassport", p.xml)
        c = agent.connect_password(profile="acme-sb1")
        self.assertEqual(c.user, "TBA")
        self.assertNotIn(c.password, repr(c))
        a = agent.assertion(["rest_webservices"], profile="acme-sb1-m2m")
        self.assertEqual(a.assertion.count("."), 2)
        self.assertTrue(a.token_endpoint.endswith("/services/rest/auth/oauth2/v1/token"))
        names = {p.name: p for p in agent.profiles()}
        self.assertEqual((names["acme-prod"].access, names["acme-prod"].environment), ("read", "production"))
        self.assertFalse(agent.status().locked)
        self.assertEqual(agent.status().raw["pid"], agent.status().pid)

    def test_token(self):
        agent = self.agent(profile="site-m2m")
        t = agent.token()
        self.assertEqual((t.token_type, t.account, t.environment, t.profile), ("Bearer", "1234567_SB1", "sandbox", "site-m2m"))
        self.assertEqual(t.scopes, ["rest_webservices", "restlets"])
        self.assertNotIn(t.access_token, repr(t))
        self.assertEqual(agent.token().access_token, t.access_token)  # kept by the agent
        one = agent.token(["restlets"])
        self.assertEqual(one.scopes, ["restlets"])
        self.assertNotEqual(one.access_token, t.access_token)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual({x.access_token for x in pool.map(lambda _: agent.token(), range(64))}, {t.access_token})
        with self.assertRaises(nsagent.BadRequest):
            agent.token(profile="acme-sb1")
        with self.assertRaises(nsagent.Denied):
            agent.token(["suite_analytics"])

    def test_default_profile(self):
        os.environ["NSAGENT_PROFILE"] = "acme-prod"
        try:
            self.assertEqual(self.agent().sign("https://1234567.suitetalk.api.netsuite.com/").profile, "acme-prod")
        finally:
            os.environ["NSAGENT_PROFILE"] = ""

    def test_refusals(self):
        agent = self.agent(profile="acme-sb1")
        prod = "https://1234567.suitetalk.api.netsuite.com/"
        for kind, code, exit_code, call in [
            (nsagent.ForeignHost, "NSA-HOST", 5, lambda: agent.sign("https://example.com/")),
            (nsagent.ReadOnly, "NSA-READONLY", 5, lambda: agent.sign(prod, "POST", profile="acme-prod")),
            (nsagent.NoProfile, "NSA-NOPROFILE", 3, lambda: agent.sign(HOST + "/", profile="nobody")),
            (nsagent.BadURL, "NSA-URL", 2, lambda: agent.sign("https://user@example.com/")),
            (nsagent.BadURL, "NSA-URL", 2, lambda: agent.sign(HOST + "/ü")),
            (nsagent.BadRequest, "NSA-REQUEST", 2, lambda: agent.sign(HOST + "/", "POST", content_type=FORM, body=b"%")),
            (nsagent.BadRequest, "NSA-REQUEST", 2, lambda: agent.sign(HOST + "/", "POST", content_type=FORM, body=b"\xff")),
            (nsagent.BadRequest, "NSA-REQUEST", 2, lambda: agent.sign(HOST + "/", "POST", content_type=FORM, body=b"a" * 200_000)),
            (nsagent.BadRequest, "NSA-REQUEST", 2, lambda: agent.assertion(profile="acme-sb1")),
        ]:
            with self.subTest(code), self.assertRaises(kind) as caught:
                call()
            e = caught.exception
            self.assertEqual((e.code, e.exit_code), (code, exit_code))
            self.assertIn(code, str(e))
            self.assertTrue(e.message)
        self.assertTrue(issubclass(nsagent.ForeignHost, nsagent.Denied))

    def test_form_and_urllib(self):
        body = b"a=1&a=2&b=%C3%BC+%26"
        s = self.agent().sign(HOST + "/x?c=3", "POST", profile="acme-sb1", content_type=FORM + "; charset=utf-8", body=body)
        self.assertEqual(s.method, "POST")
        self.assertEqual(self.agent().sign(HOST + "/x", "POST", profile="acme-sb1", content_type="application/json", body=b"\xff" * 9).method, "POST")

    def test_threads(self):
        agent = self.agent(profile="acme-sb1")
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            urls = [HOST + "/?n=%d" % n for n in range(600)]
            signed = list(pool.map(agent.sign, urls))
        self.assertEqual([s.url for s in signed], urls)
        self.assertEqual(len({s.nonce for s in signed}), 600)
        self.assertLessEqual(len(agent._idle), 8)
        agent.close()
        self.assertEqual(agent._idle, [])
        agent.sign(HOST + "/")

    def test_after_a_fork(self):
        agent = self.agent(profile="acme-sb1")
        agent.sign(HOST + "/")
        pid = os.fork()
        if pid == 0:
            try:
                agent.sign(HOST + "/")
                os._exit(0)
            except BaseException:
                os._exit(1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        agent.sign(HOST + "/")  # the parent's connection still stands


class Life(Case):
    """The agent locks, stops, hangs and comes back."""

    def tearDown(self):
        wish("resume")

    def test_locked(self):
        agent = self.agent(profile="acme-sb1")
        wish("lock")
        try:
            with self.assertRaises(nsagent.Locked) as caught:
                agent.sign(HOST + "/")
            self.assertEqual(caught.exception.exit_code, 4)
            self.assertIn("nsagent unlock", caught.exception.next)
            self.assertTrue(agent.status().locked)
        finally:
            wish("unlock")
        agent.sign(HOST + "/")

    def test_restart(self):
        agent = self.agent(profile="acme-sb1")
        agent.sign(HOST + "/")
        wish("stop")
        for _ in range(2):
            with self.assertRaises(nsagent.Unreachable) as caught:
                agent.sign(HOST + "/")
            self.assertEqual((caught.exception.code, caught.exception.exit_code), ("NSA-AGENT", 7))
            self.assertIsInstance(caught.exception, ConnectionError)
        wish("start")
        agent.sign(HOST + "/")

    def test_restart_unnoticed(self):
        agent = self.agent(profile="acme-sb1")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(agent.sign, [HOST + "/"] * 50))
        wish("stop")
        wish("start")
        agent.sign(HOST + "/")  # the kept connections are all broken

    def test_deadline(self):
        agent = self.agent(profile="acme-sb1")
        agent.sign(HOST + "/")
        wish("hang")
        for fresh in (False, True):
            if fresh:
                agent.close()
            begin = time.monotonic()
            with self.assertRaises(nsagent.Timeout) as caught:
                agent.sign(HOST + "/", timeout=0.2)
            self.assertLess(time.monotonic() - begin, 5)
            self.assertIsInstance(caught.exception, TimeoutError)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:  # more than there are connections
            for f in [pool.submit(agent.sign, HOST + "/", timeout=0.2) for _ in range(20)]:
                self.assertIsInstance(f.exception(), nsagent.Timeout)
        wish("resume")
        agent.sign(HOST + "/")


class Trust(Case):
    """What is not to be trusted gets no byte."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="nsp")
        self.addCleanup(shutil.rmtree, self.dir)

    def at(self, name):
        return os.path.join(self.dir, name)

    def listen(self, name):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.at(name))
        listener.listen()
        self.addCleanup(listener.close)
        return listener

    def refused(self, path, says, **options):
        with self.assertRaises(nsagent.Unreachable) as caught:
            self.agent(path, profile="acme-sb1", timeout=2, **options).sign(HOST + "/")
        self.assertIn(says, str(caught.exception))

    def test_paths(self):
        with open(self.at("file"), "w"):
            pass
        os.symlink(os.environ["NSAGENT_SOCK"], self.at("link"))
        self.listen("dead").close()
        self.refused(self.at("none"), "there is no socket")
        self.refused(self.at("file"), "is not a socket")
        self.refused(self.at("link"), "symbolic link")
        self.refused(self.at("dead"), "nobody listens")
        with self.assertRaises(nsagent.Error) as caught:
            self.agent(self.at("x" * 120))
        self.assertEqual(caught.exception.code, "NSA-SOCKET")

    def test_open_directory(self):
        self.listen("s")
        os.chmod(self.dir, 0o777)
        self.refused(self.at("s"), "everybody may write the directory")
        os.chmod(self.dir, 0o1777)
        self.refused(self.at("s"), "does not answer in time")

    @unittest.skipUnless(os.geteuid() == 0, "needs root: gives a socket to another user")
    def test_foreign_path(self):
        listener = self.listen("s")
        os.chown(self.at("s"), 65534, 65534)
        self.refused(self.at("s"), "belongs to uid 65534")
        listener.settimeout(0.2)
        with self.assertRaises(socket.timeout):  # it was not even connected to
            listener.accept()

    @unittest.skipUnless(os.geteuid() == 0, "needs root: runs a server as another user")
    def test_foreign_server(self):
        path = self.at("s")
        os.chmod(self.dir, 0o1777)
        server = subprocess.Popen(
            [sys.executable, "-c", "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
             "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('ready', flush=True)\n"
             "c, _ = s.accept(); print(len(c.recv(1)), flush=True)", path], stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), "ready\n")
        os.chown(path, 0, 0)
        self.refused(path, "the server")
        self.assertEqual(server.stdout.readline(), "0\n")

    def test_slow_drip(self):
        listener = self.listen("s")

        def drip():
            c, _ = listener.accept()
            with c:
                try:
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while True:
                        c.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        self.addCleanup(thread.join)
        begin = time.monotonic()
        self.refused(self.at("s"), "does not answer in time")
        self.assertLess(time.monotonic() - begin, 8)

    def test_nonsense(self):
        for answer in (b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", b"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\n{}",
                       b'HTTP/1.1 403 x\r\nContent-Length: 46\r\n\r\n{"error":{"code":"NSA-NEW","message":"a\\u001b"}}'[:100]):
            name = "s%d" % len(os.listdir(self.dir))
            listener = self.listen(name)

            def serve():
                for _ in range(2):
                    try:
                        c, _ = listener.accept()
                    except OSError:
                        return
                    with c:
                        c.recv(65536)
                        c.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
            with self.assertRaises(nsagent.Error, msg=answer) as caught:
                self.agent(self.at(name), timeout=5).sign(HOST + "/")
            self.assertTrue(str(caught.exception).isprintable())


class Package(unittest.TestCase):
    def test_imports_the_standard_library_only(self):
        code = "import sys, nsagent; print([m for m in ('requests', 'httpx', 'zeep', 'lxml', 'urllib3') if m in sys.modules])"
        self.assertEqual(subprocess.check_output([sys.executable, "-c", code], text=True), "[]\n")

    def test_codes(self):
        table = json.loads(os.environ["CODES"])
        self.assertEqual(_errors.EXIT_CODES, table)
        for code, kind in _errors.CLASSES.items():
            self.assertEqual(kind(code, "").exit_code, table.get(code), code)


if __name__ == "__main__":
    unittest.main()
