package nstest

import (
	"encoding/json"
	"encoding/xml"
	"net/http"

	"github.com/nsagent/nsagent/internal/pattern"
)

var scriptID = pattern.New(`^([1-9][0-9]{0,8}|custom(script|deploy)[a-z0-9_]{0,50})$`)

// restletEcho is what the mock's RESTlets answer: the request as they got it.
type restletEcho struct {
	Account    string      `json:"account"`
	User       string      `json:"user"`
	Role       string      `json:"role"`
	Method     string      `json:"method"`
	Script     string      `json:"script"`
	Deploy     string      `json:"deploy"`
	Parameters [][2]string `json:"parameters"`
	Body       string      `json:"body,omitempty"`
}

// restlet serves /app/site/hosting/restlet.nl: every script and deployment with
// a plausible ID answers with what it received, repeated parameters and all.
func (x *exchange) restlet() answer {
	return x.asUser(func(who login) answer {
		echo := restletEcho{Account: who.account.ID, User: who.token.User, Role: who.token.Role, Method: x.wire.method, Parameters: [][2]string{}, Body: string(x.body)}
		for _, p := range x.queryPairs() {
			switch p.name {
			case "script":
				echo.Script = p.value
			case "deploy":
				echo.Deploy = p.value
			}
			echo.Parameters = append(echo.Parameters, [2]string{p.name, p.value})
		}
		switch x.wire.method {
		case http.MethodGet, http.MethodDelete:
			if len(x.body) > 0 {
				return x.restletError(http.StatusBadRequest, "INVALID_REQUEST", "A "+x.wire.method+" request has no body.")
			}
		case http.MethodPost, http.MethodPut:
			if !oneOf(mediaType(x.request.Header.Get("Content-Type")), "application/json", "text/plain", "application/xml", "text/xml") {
				return x.restletError(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "This Content-Type is not supported.")
			}
		default:
			return x.restletError(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "The request method used is not valid.")
		}
		if echo.Script == "" || echo.Deploy == "" {
			return x.restletError(http.StatusBadRequest, "SSS_MISSING_REQD_ARGUMENT", "Missing a required argument: script or deploy")
		}
		if !scriptID().MatchString(echo.Script) || !scriptID().MatchString(echo.Deploy) {
			return x.restletError(http.StatusNotFound, "SSS_INVALID_SCRIPTLET_ID", "That Suitelet is invalid, disabled, or no longer exists.")
		}
		if mediaType(x.request.Header.Get("Content-Type")) == "application/json" && len(x.body) > 0 && !json.Valid(x.body) {
			return x.restletError(http.StatusBadRequest, "INVALID_REQUEST", "The body is not JSON.")
		}
		return jsonAnswer(http.StatusOK, echo)
	})
}

// denyRESTlet is the general answer of a RESTlet.
//
// Source: NetSuite Help, "SuiteScript RESTlet Error Handling".
func (x *exchange) denyRESTlet(r *refusal) answer {
	const malformed = "The request could not be understood by the server due to malformed syntax."
	var a answer
	switch r.reason {
	case ReasonConcurrency:
		return x.restletError(http.StatusBadRequest, "SSS_REQUEST_LIMIT_EXCEEDED", "Request limit exceeded.")
	case ReasonWrongHost:
		return x.restletError(http.StatusForbidden, "INVALID_REQUEST", "The request was sent to an invalid domain.")
	case ReasonBadRequest, ReasonInvalidRequest, ReasonParameterRejected, ReasonUnknownAlgorithm, ReasonVersionRejected, ReasonInvalidTimestamp:
		a = x.restletError(http.StatusBadRequest, "INVALID_REQUEST", malformed)
	default:
		status := http.StatusUnauthorized
		if x.server.settings.RESTletLoginStatus == http.StatusForbidden {
			status = http.StatusForbidden
		}
		a = x.restletError(status, "INVALID_LOGIN_ATTEMPT", "Invalid login attempt.")
	}
	if scheme(x.request.Header.Get("Authorization")) == "bearer" || x.server.settings.RESTletChallenge {
		x.setChallenge(&a, r)
	}
	return a
}

// restletError writes an error in the format of the request's Content-Type.
func (x *exchange) restletError(status int, code, message string) answer {
	switch mediaType(x.request.Header.Get("Content-Type")) {
	case "application/json":
		return jsonAnswer(status, map[string]any{"error": map[string]string{"code": code, "message": message}})
	case "application/xml", "text/xml":
		body, err := xml.Marshal(struct {
			XMLName xml.Name `xml:"error"`
			Code    string   `xml:"code"`
			Message string   `xml:"message"`
		}{Code: code, Message: message})
		if err != nil {
			return answer{status: http.StatusInternalServerError}
		}
		return textAnswer(status, "application/xml; charset=utf-8", xml.Header+string(body))
	}
	return textAnswer(status, "text/plain; charset=utf-8", "error code: "+code+"\nerror message: "+message)
}
