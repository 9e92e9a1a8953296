package nstest

import "net/http"

// revokeToken serves /rest/revoketoken where the settings say so: a token revokes
// itself by signing this request. The query may name consumer key and token, and
// then names those of the header.
//
// Source: NetSuite Help, "Issue Token and Revoke Token REST Services for
// Token-based Authentication", which says that it is for one's own tokens; its
// parameters are not known.
func (x *exchange) revokeToken() answer {
	if !oneOf(x.wire.method, http.MethodGet, http.MethodPost) {
		return x.deny(refuse(ReasonBadRequest, "the token is revoked by GET or POST"))
	}
	who, refused := x.apiLogin()
	if refused != nil {
		return x.deny(refused)
	}
	if who.token.TokenID == "" {
		return x.deny(refuse(ReasonParameterRejected, "the request is signed with the token that is to be revoked"))
	}
	for _, p := range x.queryPairs() {
		if (p.name == "token" && p.value != who.token.TokenID) || (p.name == "consumerKey" && p.value != who.integration.ConsumerKey) {
			return x.deny(refuse(ReasonParameterRejected, "the query names another "+p.name+" than the header"))
		}
	}
	who.account.revokeToken(who.token.TokenID)
	x.accept(who)
	return jsonAnswer(http.StatusOK, map[string]bool{"success": true})
}

// RefreshSandbox does to an account what the refresh of a sandbox does: tokens,
// certificates and authorizations are gone, integration records stay. It says
// whether there is such an account.
func (s *Server) RefreshSandbox(accountID string) bool {
	a, exact := s.findByName(accountID)
	if !exact {
		return false
	}
	a.empty()
	return true
}

// refreshSandbox serves POST /nstest/refresh.
func (x *exchange) refreshSandbox() answer {
	var order struct {
		Account string `json:"account"`
	}
	switch {
	case x.wire.method != http.MethodPost:
		return jsonAnswer(http.StatusMethodNotAllowed, map[string]string{"error": "use POST"})
	case decodeStrictly(x.body, &order) != nil:
		return jsonAnswer(http.StatusBadRequest, map[string]string{"error": `the body is {"account":"…"}`})
	case !x.server.RefreshSandbox(order.Account):
		return jsonAnswer(http.StatusNotFound, map[string]string{"error": "there is no such account"})
	}
	return jsonAnswer(http.StatusOK, map[string]string{"refreshed": order.Account})
}
