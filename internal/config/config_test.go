package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	got, err := Parse("default_profile = \"acme\"\nmemory = \"mlock\"\nidle_lock = \"45m\"\nhard_lock = \"8h\"\ndurability = \"strict\"\nstart_on_demand = false\nkey_file = \"/etc/nsagent.key\"\npinentry = \"/usr/bin/pinentry\"\n")
	want := Config{DefaultProfile: "acme", Memory: "mlock", IdleLock: 45 * time.Minute, HardLock: 8 * time.Hour, Durability: "strict", StartByHand: true, KeyFile: "/etc/nsagent.key", Pinentry: "/usr/bin/pinentry"}
	if err != nil || got != want {
		t.Fatalf("Parse: got %+v, %v; want %+v", got, err, want)
	}
}

// TestParseRefuses guards I-06: case variants, duplicates and unknown keys are
// errors, and an error never repeats a value. What nests without end is refused before the
// parser would take minutes and all memory for it.
func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"Default_Profile = \"a\"", "default_profile = \"a\"\nDEFAULT_PROFILE = \"b\"", "memory = \"swap\"", "durability = \"none\"", "durability = true", "memory = 3", "key_file = \"nsagent.key\"", "key_file = \"\"", "pinentry = \"pinentry\"", "pinentry = true",
		"idle_lock = 5", "idle_lock = \"0s\"", "idle_lock = \"-1h\"", "hard_lock = \"100000h\"", "nope = 1", "memory",
		"x = " + strings.Repeat("{a=", 20_000), "x = ['''a'''', " + strings.Repeat("{a=", 20_000), "x" + strings.Repeat(".a", 20_000) + " = 1",
		"memory = \"mlock\"\nmemory = \"mlock\"", "start_on_demand = \"no\"", "start_on_demand = 0", "[agent]\nmemory = \"mlock\"",
	} {
		if c, err := Parse(text); !errors.Is(err, ErrConfig) {
			t.Errorf("Parse(%.200q): got %+v, %v; want ErrConfig", text, c, err)
		}
	}
}

// TestStartOnDemandIsOn shows that leaving the key out and setting it to true are one.
func TestStartOnDemandIsOn(t *testing.T) {
	for _, text := range []string{"", "start_on_demand = true"} {
		if c, err := Parse(text); err != nil || c.StartByHand {
			t.Errorf("Parse(%q): got %+v, %v; want an agent started on demand", text, c, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if c, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) || c != (Config{}) {
		t.Errorf("missing file: got %+v, %v, want fs.ErrNotExist", c, err)
	}
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, make([]byte, maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); !errors.Is(err, ErrConfig) {
		t.Errorf("large file: got %v, want ErrConfig", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("default_profile = \"acme\"\nmemory = \"mlock\"\n")
	f.Add("idle_lock = \"45m\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil && c != (Config{}) {
			t.Errorf("an error came with settings %+v", c)
		}
	})
}
