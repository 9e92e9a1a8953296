package command

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// refuseEmpty refuses a flag that was given with no text, and an argument with none. Most
// come from a variable that is not set, and would count as not given: a limit that limits
// nothing, a filter that lets all through, another bundle, policy or profile than was meant.
func refuseEmpty(c *cobra.Command, args []string) error {
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && isEmpty(f.Value) {
			err = usage("--"+f.Name+" is empty", "that would count as not given; is a variable not set?", "give it a value, or leave it out")
		}
	})
	// What exec runs, and what the shell completes, may have arguments without text.
	if err == nil && c.Name() != execName && !c.DisableFlagParsing && slices.Contains(args, "") {
		err = usage("an argument is empty", "is a variable not set?", "")
	}
	return err
}

// tokensFirst returns a check of arguments that looks for unlock tokens before check, which
// may be nil, looks at anything: one that is too many is still one that others have seen.
func (e *env) tokensFirst(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if c.Name() == execName {
			e.failureCode = execFailed
		}
		if err := refuseToken(c, args); err != nil || check == nil {
			return err
		}
		return check(c, args)
	}
}

// refuseToken refuses an unlock token that stands on the command line: as an argument, or
// as what a flag takes. No answer repeats it.
func refuseToken(c *cobra.Command, args []string) error {
	texts := slices.Clone(args)
	if c.Name() == execName {
		texts = texts[:min(1, len(texts))] // the others are the program's
	}
	c.Flags().Visit(func(f *pflag.Flag) {
		if more, ok := textsOf(f.Value); ok {
			texts = append(texts, more...)
		}
	})
	return tokenAmong(texts...)
}

// tokenAmong returns the refusal of the first unlock token among texts; nil if there is none.
func tokenAmong(texts ...string) error {
	for _, text := range texts {
		text = strings.Trim(text, " \t\r\n\"'")
		if !strings.HasPrefix(text, unlocktoken.Prefix) {
			continue
		}
		id := "ID"
		if token, err := unlocktoken.Parse([]byte(text)); err == nil {
			defer token.Wipe()
			if g, err := token.Chain.Read(); err == nil {
				id = unlocktoken.GrantName(g.Authority.Grant)
			}
		}
		return usage("an unlock token is no argument", "others see arguments, and the shell keeps them: take it for known", "revoke it:  nsagent grant revoke "+id+"; give one by --token-file, or - for stdin")
	}
	return nil
}

// isEmpty reports whether a value that is text, or a list of texts, says nothing, or a part
// of the list does.
func isEmpty(v pflag.Value) bool {
	texts, ok := textsOf(v)
	return ok && (len(texts) == 0 || slices.Contains(texts, ""))
}

// textsOf returns the texts of a flag, and whether it is one of text.
func textsOf(v pflag.Value) ([]string, bool) {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.GetSlice(), true
	}
	return []string{v.String()}, v.Type() == "string"
}
