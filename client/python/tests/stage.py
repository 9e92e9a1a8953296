"""What the tests share: wishes to the Go test that started them, and a NetSuite."""

import json
import os
import sys
import threading
import unittest
import urllib.parse

import nsagent

SITE, OTHER, CA = os.environ["SITE"], os.environ["OTHER"], os.environ["CA"]
RESTLET = "/app/site/hosting/restlet.nl?script=1&deploy=1"
FORM = "application/x-www-form-urlencoded"
_lock = threading.Lock()
_keys = 0


def wish(*words):
    """Ask for lock, unlock, stop, start, hang, resume, or for what arrived."""
    with _lock:
        print("!" + " ".join(words), flush=True)
        return json.loads(sys.stdin.readline())


class Case(unittest.TestCase):
    def agent(self, *args, **kwargs):
        """Return an Agent that is closed with the test."""
        agent = nsagent.Agent(*args, **kwargs)
        self.addCleanup(agent.close)
        return agent

    def url(self, base=SITE, **query):
        """Return a URL whose requests this test finds again."""
        global _keys
        _keys += 1
        self.key = "k%d-%d" % (os.getpid(), _keys)
        return base + RESTLET + "&" + urllib.parse.urlencode({"key": self.key, **query})

    def hops(self, n, signed=True):
        """Return the n requests that arrived, each with a signature of its own."""
        hops = wish("hops", self.key)
        self.assertEqual(len(hops), n, hops)
        if signed:
            self.assertEqual([h["signed"] for h in hops], [1] * n, hops)
            self.assertEqual(len({h["nonce"] for h in hops} - {""}), n, hops)
        return hops
