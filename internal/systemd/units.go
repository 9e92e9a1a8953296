package systemd

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
)

//go:embed units/nsagent.service units/nsagent.socket
var files embed.FS

// Names of the units.
const (
	Service   = "nsagent.service"
	ForSocket = "nsagent.socket"
)

// mark begins the first line of a unit of ours.
const mark = "# Written by nsagent agent install"

// packaged is the program that the units name as they are in the repository.
const packaged = "/usr/local/bin/nsagent"

// Unit is a unit file.
type Unit struct {
	Name string
	Text []byte
}

// Units returns the two units of a user's agent, for the program at exe, which gets the
// variables env ("NAME=value") beside those of the user's systemd.
//
// The error is about a path or value that a unit cannot hold.
func Units(exe string, env []string) ([]Unit, error) {
	command, err := word(exe)
	if err != nil {
		return nil, fmt.Errorf("naming the program: %w", err)
	}
	if strings.ContainsRune(exe, '$') { // the first word of a command knows no escape for it
		return nil, fmt.Errorf("naming the program: %q has a $", exe)
	}
	start := "ExecStart=" + command + " agent run\n"
	for _, kv := range env {
		setting, err := word(kv)
		if err != nil {
			return nil, fmt.Errorf("setting a variable: %w", err)
		}
		start += "Environment=" + setting + "\n"
	}
	var units []Unit
	for _, name := range []string{Service, ForSocket} {
		text, err := files.ReadFile("units/" + name)
		if err != nil {
			return nil, fmt.Errorf("reading the unit: %w", err)
		}
		text = bytes.Replace(text, []byte("ExecStart="+packaged+" agent run\n"), []byte(start), 1)
		units = append(units, Unit{name, text})
	}
	return units, nil
}

// Ours reports whether a unit file was written by nsagent agent install.
func Ours(text []byte) bool { return bytes.HasPrefix(text, []byte(mark)) }

// word returns s as one word of a unit file, quoted where it has to be, with nothing
// in it that systemd would replace (systemd.syntax(7), systemd.unit(5), "Specifiers").
func word(s string) (string, error) {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return "", fmt.Errorf("%q has a character that a unit cannot hold", s)
		}
	}
	plain := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+-=@:") == ""
	s = strings.ReplaceAll(s, "%", "%%")
	if plain {
		return s, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`, nil
}
