"""Sign many requests at once: an Agent serves any number of threads."""

import concurrent.futures

import nsagent

HOST = "https://1234567-sb1.suitetalk.api.netsuite.com"

agent = nsagent.Agent(profile="acme-sb1")
urls = ["%s/services/rest/record/v1/customer/%d" % (HOST, n) for n in range(100)]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    signed = list(pool.map(agent.sign, urls))
print([s.url for s in signed] == urls, len({s.nonce for s in signed}), "nonces")

# Output: True 100 nonces
