package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/nearest"
	"github.com/nsagent/nsagent/internal/pathglob"
)

// RESTletPath is the path of every RESTlet; the query names the script.
//
// Source: NetSuite Help, "The RESTlet Base String".
const RESTletPath = "/app/site/hosting/restlet.nl"

// soapPaths is where SOAP requests go; the version of the endpoint follows.
//
// Source: NetSuite Help, "NetSuite WSDL Versioning".
const soapPaths = "/services/NetSuitePort_"

// form is the form of an operation.
type form int8

const (
	formAny form = iota
	formPath
	formSuiteQL
	formRESTlet
	formSOAP
	formKind
)

// Operation is one entry of the list what:
//
//	METHOD,METHOD PATTERN  requests with one of the methods, or "*" for any, and a path
//	                       that fits the pattern (internal/pathglob)
//	suiteql                SuiteQL queries
//	restlet SCRIPT/DEPLOY  a RESTlet, by what the URL says: ids or names, with at most one
//	                       "*" each
//	soap NAME,NAME         SOAP operations
//	passport, connect, assertion, token
//	                       the permissions of these names
//	*                      everything
type Operation struct {
	text string
	form form
	// methods are those of a path, nil for any; or the names of SOAP operations.
	names          []string
	path           pathglob.Pattern
	script, deploy pathglob.Word
	kind           Kind
}

// String returns the operation as it stands in the policy.
func (o *Operation) String() string { return o.text }

var errOperation = errors.New(`it is "METHOD /path", "suiteql", "restlet SCRIPT/DEPLOY", "soap NAME,NAME", "passport", "connect", "assertion", "token" or "*"`)

// parseOperation reads an entry of what.
func parseOperation(text string) (o Operation, err error) {
	o.text = text
	word, rest, _ := strings.Cut(text, " ")
	switch {
	case text == "*":
		o.form = formAny
	case text == "suiteql":
		o.form = formSuiteQL
	case text == "connect":
		o.form, o.kind = formKind, KindConnectPassword
	case text == "passport", text == "assertion", text == "token":
		o.form, o.kind = formKind, Kind(text)
	case word == "restlet":
		o.form = formRESTlet
		o.script, o.deploy, err = parseRESTlet(rest)
	case word == "soap":
		o.form = formSOAP
		o.names, err = nameList(rest, func(s string) bool { return plainLetters(s) })
	case strings.HasPrefix(rest, "/"):
		o.form = formPath
		if word != "*" {
			o.names, err = nameList(word, plainMethod)
		}
		if err == nil {
			o.path, err = pathglob.Compile(rest)
		}
	default:
		err = errOperation
	}
	return o, err
}

func parseRESTlet(text string) (script, deploy pathglob.Word, err error) {
	s, d, _ := strings.Cut(text, "/")
	if !mayFitScript(s) || !mayFitScript(d) {
		return script, deploy, errors.New("a RESTlet is named as SCRIPT/DEPLOY, by ids without a zero in front, or names")
	}
	if script, err = pathglob.CompileWord(s); err == nil {
		deploy, err = pathglob.CompileWord(d)
	}
	return script, deploy, err
}

// StrangeMethod says of a method that HTTP does not have that NetSuite takes none such, and
// which one is meant; "" of others. Requests with it can be signed, so that rules may name it.
//
// Source: RFC 9110, section 9.1; RFC 5789. NetSuite takes some of these alone.
func StrangeMethod(method string) string {
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
	if slices.Contains(methods, method) {
		return ""
	}
	hint := ": its own are " + listed(methods[:6])
	if near := nearest.Name(method, methods); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return method + " is no method that NetSuite takes" + hint
}

// nameList reads names with commas between.
func nameList(text string, ok func(string) bool) ([]string, error) {
	names := strings.Split(text, ",")
	for i, n := range names {
		if !ok(n) || slices.Contains(names[:i], n) {
			return nil, fmt.Errorf("%.40q is a list of names with commas between, methods in capitals, none twice", text)
		}
	}
	return names, nil
}

// fits reports how well the attempt is this operation; generous takes all spellings of a
// path, and letters of either case, for the same.
func (o *Operation) fits(s *sight, generous bool) fit {
	switch o.form {
	case formAny:
		return yes
	case formKind:
		return fits(s.Kind == o.kind)
	case formSOAP:
		return o.fitsSOAP(s, generous)
	}
	switch {
	case !s.request:
		return no
	case !s.plain:
		return unclear
	case o.form == formPath && generous:
		return fits(o.hasMethod(s.Method, true) && o.path.MatchFolded(s.folded))
	case o.form == formPath:
		return fits(o.hasMethod(s.Method, false) && o.path.MatchPlain(s.Path, s.folded))
	case o.form == formSuiteQL && generous:
		return fits(strings.EqualFold(s.Path, SuiteQLPath))
	case o.form == formSuiteQL:
		return fits(s.Method == "POST" && s.Path == SuiteQLPath)
	}
	return o.fitsRESTlet(s, generous)
}

func (o *Operation) hasMethod(method string, generous bool) bool {
	return o.names == nil || slices.Contains(o.names, method) || generous && slices.Contains(o.names, strings.ToUpper(method))
}

// fitsRESTlet compares scripts as the URL names them. An id and a name may mean the
// same script, so that who denies one cannot tell of the other.
func (o *Operation) fitsRESTlet(s *sight, generous bool) fit {
	if !generous {
		script, deploy, _ := strings.Cut(s.Script, "/") // no pattern fits an empty name
		return fits(s.Path == RESTletPath && o.script.Match(script) && o.deploy.Match(deploy))
	}
	if !strings.EqualFold(s.Path, RESTletPath) {
		return no
	}
	script, deploy, ok := strings.Cut(s.Script, "/")
	if !ok {
		return unclear
	}
	return min(sameScript(o.script, script), sameScript(o.deploy, deploy))
}

func sameScript(w pathglob.Word, name string) fit {
	id := isNumber(strings.ReplaceAll(w.String(), "*", "")) // or the start or end of one
	switch {
	case w.MatchFold(name):
		return yes
	case w.Literal() && id == isNumber(name), !id && !isNumber(name):
		return no
	}
	return unclear
}

// fitsSOAP: a TokenPassport carries any operation, so that an attempt to make one, as a
// rule, does not tell which. A Connect password is a TokenPassport in another form.
func (o *Operation) fitsSOAP(s *sight, generous bool) fit {
	soap := s.Kind == KindPassport || s.Kind == KindConnectPassword || s.request && len(s.Path) >= len(soapPaths) && strings.EqualFold(s.Path[:len(soapPaths)], soapPaths)
	switch {
	case s.request && !s.plain:
		return unclear
	case !soap:
		return no
	case s.Operation == "" || s.Kind == KindConnectPassword:
		return unclear
	}
	return fits(slices.ContainsFunc(o.names, func(n string) bool {
		return n == s.Operation || generous && strings.EqualFold(n, s.Operation)
	}))
}

// Script returns which RESTlet a request is for, as "script/deploy", from its path and
// query as signed; empty where it is for none, or where that cannot be told: a
// parameter that is missing, comes twice or is escaped, or an id in another form than
// NetSuite's own, such as 0123, which it may read as 123.
func Script(path, query string) string {
	if path != RESTletPath {
		return ""
	}
	var found [2]string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if strings.ContainsAny(name, "%+") && mayName(name) {
			return ""
		}
		i := slices.Index([]string{"script", "deploy"}, strings.ToLower(name))
		if i < 0 {
			continue
		}
		if found[i] != "" || !namesScript(value) || name != strings.ToLower(name) {
			return ""
		}
		found[i] = value
	}
	if found[0] == "" || found[1] == "" {
		return ""
	}
	return found[0] + "/" + found[1]
}

// mayName reports whether an escaped name may be read as one of ours.
func mayName(name string) bool {
	plain, ok := decodeAll(strings.ReplaceAll(name, "+", " "))
	plain = strings.ToLower(strings.TrimSpace(plain))
	return !ok || plain == "script" || plain == "deploy"
}

// namesScript reports whether s has the form of an id or of a name of a script: a number
// without a zero in front, or what begins with a letter.
//
// Source: NetSuite Help, "RESTlet Scripts as XML Definitions": all names begin with
// customscript or customdeploy.
func namesScript(s string) bool {
	return plainScript(s) && (plainLetters(s[:1]) || s[0] != '0' && isNumber(s))
}

// mayFitScript reports whether an id or name of a script may fit the pattern s.
func mayFitScript(s string) bool {
	return namesScript(strings.ReplaceAll(s, "*", "1")) || namesScript(strings.ReplaceAll(s, "*", "x"))
}

// plainScript reports whether s has the letters and the length of an id or name.
func plainScript(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func plainLetters(s string) bool { return plainScript(s) && !strings.ContainsAny(s, "_-0123456789") }

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }
