package command

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// isEmpty reports whether a value that is text, or a list of texts, says nothing, or a part
// of the list does.
func isEmpty(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		return len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")
	}
	return v.Type() == "string" && v.String() == ""
}
