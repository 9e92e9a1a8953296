package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// shownCode is a recovery code as it stands on a screen, in rows.
var shownCode = regexp.MustCompile(`NSR1-(?:[a-z]+-\s*){12}[a-z]+`)

// codeOn returns the last recovery code on a screen, on one line; "" if there is none.
func codeOn(screen string) string {
	all := shownCode.FindAllString(screen, -1)
	if len(all) == 0 {
		return ""
	}
	return strings.Join(strings.Fields(all[len(all)-1]), "")
}

// askedLast matches a word of the code that is asked for at the end of a screen.
var askedLast = regexp.MustCompile(`Word ([0-9]+): *$`)

// lastWord returns the word of the recovery code that is asked for last; "" if none is.
func lastWord(screen string) string {
	words := strings.Split(codeOn(screen), "-")
	if m := askedLast.FindStringSubmatch(screen); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n < len(words) {
			return words[n]
		}
	}
	return ""
}

// typeWords types the words of the recovery code that are asked for, as somebody does
// who wrote it down: in the dialogue, the line "words".
func (t *terminal) typeWords(done <-chan struct{}) error {
	for range 2 {
		n, err := t.askedWord(done)
		if err != nil {
			return err
		}
		words := strings.Split(codeOn(t.text()), "-")
		if n >= len(words) {
			return fmt.Errorf("there is no word %d on the screen %q", n, t.text())
		}
		if _, err := t.master.WriteString(strings.ToUpper(words[n]) + "\r"); err != nil {
			return err
		}
	}
	return nil
}

// askedWord waits until a word is asked for and returns its number.
func (t *terminal) askedWord(done <-chan struct{}) (int, error) {
	if err := t.await("\nWord ", done); err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		t.mu.Lock()
		number, _, ok := strings.Cut(t.screen.String()[t.from:], ": ")
		t.mu.Unlock()
		if ok {
			return strconv.Atoi(number)
		}
	}
	return 0, fmt.Errorf("no number in %q", t.text())
}

// cmdRecoveryCode writes the recovery code of the last terminal to a file, as paper; from
// then on it must be found nowhere:
//
//	recoverycode FILE
func cmdRecoveryCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: recoverycode FILE")
	}
	code := codeOn(stateOf(ts).screen)
	if code == "" {
		ts.Fatalf("there is no recovery code on the screen %q", stateOf(ts).screen)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(code+"\n"), 0o600))
	stateOf(ts).canaries = append(stateOf(ts).canaries, canary{"recovery code", code})
	ts.Setenv("CODE", code)
}
