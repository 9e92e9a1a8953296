// Package pattern makes regular expressions that are compiled at their first use.
//
// Four processes of nsagent start one after the other, and each of them uses few of the
// expressions that are linked in: compiling all took 0.7 ms and 0.5 MiB of each.
package pattern

import (
	"regexp"
	"sync"
)

// New returns a function that gives the compiled expression, the same one each time. It
// panics there if expr is no regular expression.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
