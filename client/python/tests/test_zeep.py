"""zeep: each operation has a TokenPassport of its own."""

import os
import unittest

import requests
import zeep
from zeep.transports import Transport

import nsagent
from nsagent.zeep import TokenPassportPlugin
from stage import CA, SITE, Case, wish

WSDL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "getservertime.wsdl")


class Passports(Case):
    def setUp(self):
        session = requests.Session()
        session.verify = CA
        self.addCleanup(session.close)
        plugin = TokenPassportPlugin(profile="site", version="2025_2")
        client = zeep.Client(WSDL, transport=Transport(session=session), plugins=[plugin])
        address = SITE + "/services/NetSuitePort_2025_2"
        self.service = client.create_service("{urn:platform_2025_2.webservices.netsuite.com}binding", address)

    def test_operations(self):
        for _ in range(3):  # the mock refuses a passport that it has seen
            self.assertIn("T", self.service.getServerTime().findtext("{*}serverTime"))

    def test_locked(self):
        wish("lock")
        try:
            with self.assertRaises(nsagent.Locked):
                self.service.getServerTime()
        finally:
            wish("unlock")


if __name__ == "__main__":
    unittest.main()
