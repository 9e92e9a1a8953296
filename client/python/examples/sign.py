"""Sign one request, and send it with the standard library."""

import json
import urllib.request

import nsagent

URL = "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5"

with nsagent.Agent(profile="acme-sb1") as agent:
    signed = agent.sign(URL)
request = urllib.request.Request(signed.url, headers={"Authorization": signed.authorization}, method=signed.method)
with urllib.request.urlopen(request, timeout=60) as answer:
    print(signed.account, answer.status, json.load(answer)["count"], "customers")

# Output: 1234567_SB1 200 5 customers
