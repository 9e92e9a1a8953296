"""Buy an access token with a client assertion (OAuth 2.0, M2M), and use it."""

import json
import urllib.parse
import urllib.request

import nsagent

with nsagent.Agent(profile="acme-sb1-m2m") as agent:
    a = agent.assertion(["rest_webservices"])
form = {
    "grant_type": "client_credentials",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": a.assertion,
}
with urllib.request.urlopen(a.token_endpoint, urllib.parse.urlencode(form).encode(), timeout=60) as answer:
    token = json.load(answer)["access_token"]

url = "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5"
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
with urllib.request.urlopen(request, timeout=60) as answer:
    print(a.profile, answer.status)

# Output: acme-sb1-m2m 200
