package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// shownKey is the key of an authenticator app as it stands on a screen, in groups.
var shownKey = regexp.MustCompile(`Key:\s+((?:[A-Z2-7]{4} ){8})`)

// keyOn returns the last such key on a screen, without blanks; "" if there is none.
func keyOn(screen string) string {
	all := shownKey.FindAllStringSubmatch(screen, -1)
	if len(all) == 0 {
		return ""
	}
	return strings.ReplaceAll(all[len(all)-1][1], " ", "")
}

// codeOf returns what an app with that key shows so many steps of 30 seconds from now.
func codeOf(key string, off int) (string, error) {
	k, err := base32.StdEncoding.DecodeString(key)
	if err != nil || len(k) == 0 {
		return "", errors.Join(err, fmt.Errorf("%q is no key", key))
	}
	m := hmac.New(sha1.New, k)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30+int64(off))))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000), nil
}

// typeTOTP types the code of the key on the screen, in two groups as an app shows it: in the
// dialogue, the line "totp".
func (t *terminal) typeTOTP() error {
	code, err := codeOf(keyOn(t.text()), 0)
	if err == nil {
		_, err = t.master.WriteString(code[:3] + " " + code[3:] + "\r")
	}
	return err
}

// cmdPhone keeps the key on the last screen as a phone does; from then on it must be found
// nowhere:
//
//	phone
func cmdPhone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: phone")
	}
	key := keyOn(stateOf(ts).screen)
	if key == "" {
		ts.Fatalf("there is no key on the screen %q", stateOf(ts).screen)
	}
	raw, err := base32.StdEncoding.DecodeString(key)
	ts.Check(err)
	stateOf(ts).canaries = append(stateOf(ts).canaries, canary{"authenticator key", key}, canary{"authenticator secret", string(raw)})
	ts.Setenv("PHONE", key)
}

// cmdTOTP writes what the phone shows so many steps from now to a file:
//
//	totp OFFSET FILE
func cmdTOTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: totp OFFSET FILE")
	}
	off, err := strconv.Atoi(args[0])
	ts.Check(err)
	code, err := codeOf(ts.Getenv("PHONE"), off)
	ts.Check(err)
	ts.Setenv("TOTP", code)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(code+"\n"), 0o600))
}
