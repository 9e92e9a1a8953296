package main

import (
	"context"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nsagent/nsagent/internal/granttest"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// cmdMint puts a grant into the vault that $PASS opens, past the agent, and writes a token
// of it into a file:
//
//	mint FILE PROFILE... [METHOD...]
//
// A METHOD, in upper case, is one that it is limited to.
func cmdMint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mint FILE PROFILE...")
	}
	paths, err := socketpath.Find(socketpath.Options{Getenv: ts.Getenv})
	ts.Check(err)
	var limits unlocktoken.Caveats
	var profiles []string
	for _, a := range args[1:] {
		if strings.ToUpper(a) == a {
			limits.Methods = append(limits.Methods, a)
		} else {
			profiles = append(profiles, a)
		}
	}
	token, err := granttest.Mint(context.Background(), paths, ts.Getenv("PASS"), limits, profiles...)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(token.Text(), '\n'), 0o600))
}
