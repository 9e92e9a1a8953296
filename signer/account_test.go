package signer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAccountVectors(t *testing.T) {
	type input struct {
		Text string `json:"text"`
	}
	type want struct {
		ID          string `json:"id"`
		HostLabel   string `json:"host_label"`
		Environment string `json:"environment"`
	}
	for _, v := range loadVectors[input, none, want](t, "accounts.json", 19) {
		t.Run(v.Name, func(t *testing.T) {
			a, err := ParseAccount(v.Input.Text)
			if v.Failure != "" {
				if v.Failure != "account" || !errors.Is(err, ErrAccount) || a != (Account{}) {
					t.Fatalf("got %+v, %v, want no account and ErrAccount", a, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := (want{a.ID(), a.HostLabel(), a.Environment()}); got != v.Want {
				t.Errorf("got %+v, want %+v", got, v.Want)
			}
			if a.Sandbox() != (v.Want.Environment == Sandbox) {
				t.Errorf("Sandbox() = %v beside environment %s", a.Sandbox(), v.Want.Environment)
			}
			for _, again := range []string{a.ID(), a.HostLabel(), a.String()} {
				if b, err := ParseAccount(again); err != nil || b != a {
					t.Errorf("ParseAccount(%q) = %+v, %v, want %+v", again, b, err, a)
				}
			}
		})
	}
}

func TestAccountEnvironment(t *testing.T) {
	tests := map[string]bool{ // whether it is a sandbox
		"1234567": false, "MSTRWLFCANADA": false, "SB1": false, "RP": false, "TSTDRV": false, "TD": false,
		"TDX12345": false, "1234567_SB": false, "1234567_XY": false, "1234567_SBX": false, "TDR123": false,
		"1234567_SB10": true, "1234567_RP1": true, "1234567_SB1_X": true, "td1": true,
	}
	for text, want := range tests {
		if got := mustAccount(t, text).Sandbox(); got != want {
			t.Errorf("ParseAccount(%q).Sandbox() = %v, want %v", text, got, want)
		}
	}
}

func TestAccountForm(t *testing.T) {
	long := strings.Repeat("1", 63)
	if got := mustAccount(t, long).ID(); got != long {
		t.Errorf("63 characters: got %q", got)
	}
	for _, text := range []string{
		long + "1", "1__2", "1_-2", "_1", "1_", "1-", "-", " ", "\t", "1 2", "1\n", "\r1", "1\x00", "1.2", "1/2", "1:2", "[::1]", "１２３", "a\u0301",
	} {
		if a, err := ParseAccount(text); !errors.Is(err, ErrAccount) || a != (Account{}) {
			t.Errorf("ParseAccount(%q) = %+v, %v, want ErrAccount", text, a, err)
		} else if strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("ParseAccount(%q): the error holds control characters: %q", text, err)
		}
	}
}

func TestAccountHosts(t *testing.T) {
	want := []string{"1234567-sb1.suitetalk.api.netsuite.com", "1234567-sb1.restlets.api.netsuite.com", "1234567-sb1.app.netsuite.com"}
	if got := mustAccount(t, "1234567_SB1").Hosts(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var zero Account
	if !zero.IsZero() || zero.Hosts() != nil || zero.owns(".app.netsuite.com") {
		t.Error("the zero Account owns hosts")
	}
}

func FuzzParseAccount(f *testing.F) {
	for _, s := range []string{"1234567", " 1234567_SB1\t", "1234567-sb1", "TSTDRV1234567", "1__2", "", "1234567.evil.example", "é1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAccount(s)
		if err != nil {
			if !errors.Is(err, ErrAccount) || a != (Account{}) {
				t.Fatalf("got %+v, %v", a, err)
			}
			return
		}
		if b, err := ParseAccount(a.ID()); err != nil || b != a {
			t.Fatalf("ID %q parses to %+v, %v", a.ID(), b, err)
		}
		if b, err := ParseAccount(a.HostLabel()); err != nil || b != a {
			t.Fatalf("host label %q parses to %+v, %v", a.HostLabel(), b, err)
		}
		for _, host := range a.Hosts() {
			target, err := ParseTarget("https://" + host + "/")
			if err != nil || CheckHost(target, a, nil) != nil {
				t.Fatalf("host %q of %q cannot be used: %v", host, s, err)
			}
		}
	})
}
