package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxBody is the largest form body that is signed, in bytes.
const maxBody = 128 << 10

type signOptions struct {
	method, contentType, bodyFile, format string
}

func newSign(e *env) *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign URL",
		Short: "Print the Authorization header of one request",
		Long: `Print the OAuth 1.0 Authorization header of one request.

The header is good for one send within five minutes, for exactly this method and
URL. A JSON body is not part of the signature; a form body is. A library that
sends a request again needs a new header:  nsagent help clients`,
		Example: `  curl -H "$(nsagent sign "$URL")" "$URL"
  nsagent sign -X POST "$URL" --format curl`,
		Args: takes("URL"),
		RunE: func(c *cobra.Command, args []string) error { return runSign(c, e, o, args[0]) },
	}
	f := c.Flags()
	f.StringVarP(&o.method, "request", "X", "GET", "the HTTP `METHOD`")
	f.StringVar(&o.contentType, "content-type", "", "the Content-Type of the request is `TYPE`")
	f.StringVar(&o.bodyFile, "body-file", "", "read the body from `FILE`, or - for stdin; it counts for forms only")
	f.StringVar(&o.format, "format", "header", "print the header, its value, a curl command or json: `FORMAT` is header, value, curl or json")
	return c
}

func runSign(c *cobra.Command, e *env, o signOptions, url string) error {
	switch o.format {
	case "header", "value", "curl", "json":
	default:
		return usage(fmt.Sprintf("unknown format %.20q", o.format), "it is header, value, curl or json", "see:  nsagent sign --help")
	}
	if oneLine(o.contentType) != o.contentType {
		return usage("the content type has a control character", "it is a header, which has one line", "")
	}
	body, err := e.readBody(o.bodyFile)
	if err != nil {
		return err
	}
	r, err := e.sign(c.Context(), client.Request{Method: o.method, URL: url, ContentType: o.contentType, Body: body})
	if err != nil {
		return err
	}
	e.echo(r.Profile, r.Account, r.Environment)
	switch {
	case e.json() || o.format == "json":
		return e.printJSON(r)
	case o.format == "value":
		return e.print(r.Authorization)
	case o.format == "curl":
		return e.print(curlLine(r, o))
	default:
		return e.print("Authorization: " + r.Authorization)
	}
}

// sign has one request signed, in the quick way where that does.
func (e *env) sign(ctx context.Context, r client.Request) (pb.SignJSON, error) {
	p, err := e.paths()
	if err != nil {
		return pb.SignJSON{}, err
	}
	if r.Profile, err = e.profileName(p); err != nil {
		return pb.SignJSON{}, err
	}
	var signed pb.SignJSON
	err = e.attended(ctx, func(ctx context.Context) (err error) {
		signed, err = e.signOne(ctx, p.Agent, r)
		return err
	})
	return signed, err
}

func (e *env) signOne(ctx context.Context, path string, r client.Request) (pb.SignJSON, error) {
	if signed, asked, err := e.signQuickly(ctx, path, r); asked || ctx.Err() != nil {
		return signed, err
	}
	cl, err := e.dial(ctx)
	if err != nil {
		return pb.SignJSON{}, err
	}
	defer func() { _ = cl.Close() }()
	signed, err := cl.Sign(ctx, r)
	return signed.JSON(), err
}

// curlLine returns a command line that sends the request.
func curlLine(r pb.SignJSON, o signOptions) string {
	line := "curl"
	switch {
	case r.Method == "HEAD": // with -X, curl would wait for a body
		line += " --head"
	case r.Method != "GET" || o.bodyFile != "":
		line += " -X " + shellQuote(r.Method)
	}
	line += " -H " + shellQuote("Authorization: "+r.Authorization)
	if o.contentType != "" {
		line += " -H " + shellQuote("Content-Type: "+o.contentType)
	}
	if o.bodyFile != "" {
		line += " --data-binary " + shellQuote("@"+o.bodyFile)
	}
	return line + " " + shellQuote(r.URL)
}

func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// readBody reads the body named on the command line; an empty name means none.
func (e *env) readBody(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	r := e.stdin
	if name != "-" {
		f, err := os.Open(name) // #nosec G304 -- the user names it
		if err != nil {
			return nil, usage("the body cannot be read", err.Error(), "")
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, usage("the body cannot be read", err.Error(), "")
	}
	if len(b) > maxBody {
		return nil, usage("the body is too large", fmt.Sprintf("a signed form has at most %d bytes; other bodies are not signed", maxBody), "")
	}
	return b, nil
}
