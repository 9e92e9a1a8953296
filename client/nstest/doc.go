// Package nstest is a NetSuite for tests. It verifies signatures, TokenPassports,
// Connect passwords and client assertions with code of its own, answers in the
// words of the real one, and keeps the precise reason of each refusal for the
// test to read: what the Login Audit Trail would say and, for a wrong signature,
// the known mistake that explains it.
//
// It shares no code with the rest of this module and is written to be obvious
// rather than fast, so that an error in the signer cannot hide in the verifier.
//
//	server := nstest.New(nstest.DemoConfig())
//	endpoint, err := server.Listen("127.0.0.1:0")
//	if err != nil {
//		…
//	}
//	defer endpoint.Close()
//	// … send requests to endpoint.URL …
//	for _, v := range server.Verdicts() {
//		fmt.Println(v)
//	}
//
// Which account a request is for follows from the host name if that is
// <host label>.{suitetalk.api,restlets.api,app}.netsuite.com. On an endpoint,
// which is any loopback address, it follows from the request: the realm of the
// Authorization header, the account of the TokenPassport, the certificate of an
// assertion, the client ID of a login, or the account a token was given out for. A request for a
// NetSuite host counts as https even over plain http.
//
// Requests are answered only after their verdict is kept, so that a test that has
// the answer finds the verdict. Paths under /nstest/ exist in the mock only.
//
// Visit agrees to a login the way a user with a browser does. Server.Inject makes
// requests go wrong on their way.
//
// ReadConfig reads a JSON file; the smallest useful one is
//
//	{
//	  "accounts": [
//	    {
//	      "id": "1234567_SB1",
//	      "integrations": [{"name": "ERP sync", "consumer_key": "ck…", "consumer_secret": "cs…"}],
//	      "tokens": [{"token_id": "ti…", "token_secret": "ts…", "consumer_key": "ck…"}]
//	    }
//	  ]
//	}
//
// docs/mock.md describes all of it. The secrets in it are test data and held as
// ordinary strings: never give a Server secrets that open a real account. Nothing
// it keeps grows without bound, and it listens on loopback addresses only, unless
// its Config says otherwise.
package nstest
