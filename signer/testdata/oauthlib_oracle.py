"""Answers, for each line of JSON on standard input, what python3-oauthlib makes of a
request: its signature base string and HMAC-SHA256 signature, or its refusal.

Request:  {"method", "url", "form" (null: no form), "authorization", "consumer_secret",
           "token_secret"}
Answer:   {"base_string", "signature"} or {"refused": text}
"""
import json
import sys
import urllib.parse

from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849 import signature


def answer(request):
    url = request["url"]
    params = signature.collect_parameters(
        uri_query=urllib.parse.urlparse(url).query,
        body=request["form"] if request["form"] is not None else [],
        headers={"Authorization": request["authorization"]},
        exclude_oauth_signature=True,
        with_realm=False,
    )
    base_string = signature.signature_base_string(
        request["method"],
        signature.base_string_uri(url),
        signature.normalize_parameters(params),
    )
    client = Client("unused", client_secret=request["consumer_secret"],
                    resource_owner_secret=request["token_secret"])
    return {
        "base_string": base_string,
        "signature": signature.sign_hmac_sha256_with_client(base_string, client),
    }


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:  # a refusal of any kind
        result = {"refused": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(result), flush=True)
