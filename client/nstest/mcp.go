package nstest

import (
	"encoding/json"
	"net/http"
)

// mcp serves the AI Connector Service as far as a login goes: it takes an access
// token with the scope mcp, and answers each call of JSON-RPC with an empty
// result.
//
// Source: NetSuite Help, "Connect to the NetSuite AI Connector Service".
func (x *exchange) mcp() answer {
	if scheme(x.request.Header.Get("Authorization")) != "bearer" {
		return x.deny(refuse(ReasonInvalidRequest, "the AI Connector Service takes an access token of OAuth 2.0 only"))
	}
	return x.asUser(func(login) answer {
		call, err := decodeObject(x.body)
		if x.wire.method != http.MethodPost || err != nil {
			return badRequest("INVALID_REQUEST", "The request is a JSON-RPC call by POST.")
		}
		id := call["id"]
		if id == nil {
			return answer{status: http.StatusAccepted}
		}
		return jsonAnswer(http.StatusOK, map[string]json.RawMessage{"jsonrpc": json.RawMessage(`"2.0"`), "id": id, "result": json.RawMessage("{}")})
	})
}
