// Package config reads config.toml, the one file of settings that agent and
// command line share.
//
// Nothing in it widens a right: what a profile may do is kept in the vault, and
// whoever can write this file can at most make the agent lock later, use another
// kind of locked memory, have the wrong key file read, or choose among the pinentry
// programs that root has installed. The decoder is strict: an unknown key, a key in
// another case or a value of the wrong type is an error that names it.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/nsagent/nsagent/internal/tomlnest"
)

// ErrConfig means that config.toml does not hold what it should.
var ErrConfig = errors.New("config: malformed config.toml")

// maxSize bounds the file, in bytes.
const maxSize = 64 << 10

// Config holds the settings. The zero value of a field means that the file does
// not set it.
type Config struct {
	// DefaultProfile is used where neither -p nor NSAGENT_PROFILE names one.
	DefaultProfile string
	// Memory is "auto", "memfd_secret" or "mlock".
	Memory string
	// IdleLock and HardLock are how long the agent stays unlocked unused, and at
	// most.
	IdleLock, HardLock time.Duration
	// KeyFile is the path of the key file that unlock reads; absolute.
	KeyFile string
	// Pinentry is the program that asks for approvals where no terminal does; absolute. Who
	// uses it looks at whose it is.
	Pinentry string
	// Durability is "normal" or "strict": whether a use waits for its fsync.
	Durability string
	// StartByHand is true where start_on_demand is false: no command starts an agent
	// but the one that is for it.
	StartByHand bool
}

// Load reads the file at path. Where it is missing the error is fs.ErrNotExist: whether
// that is one is for who knows who named the file.
func Load(path string) (Config, error) {
	f, err := os.Open(path) // #nosec G304 -- the user's own configuration
	if err != nil {
		return Config{}, fmt.Errorf("opening the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(b) > maxSize {
		return Config{}, fmt.Errorf("reading %s: %w: larger than %d bytes", path, ErrConfig, maxSize)
	}
	c, err := Parse(string(b))
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

// Parse reads the text of a config.toml.
func Parse(text string) (Config, error) {
	if !tomlnest.Fine(text) {
		return Config{}, fmt.Errorf("%w: it nests too deeply", ErrConfig)
	}
	var raw map[string]any
	// Into a map: matching struct fields would forgive another case.
	if _, err := toml.Decode(text, &raw); err != nil {
		return Config{}, fmt.Errorf("%w: %s", ErrConfig, firstLine(err))
	}
	var c Config
	for key, v := range raw {
		if err := c.set(key, v); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

func (c *Config) set(key string, v any) (err error) {
	switch key {
	case "default_profile":
		c.DefaultProfile, err = word(key, v)
	case "key_file":
		c.KeyFile, err = absolute(key, v)
	case "pinentry":
		c.Pinentry, err = absolute(key, v)
	case "memory":
		c.Memory, err = word(key, v, "auto", "memfd_secret", "mlock")
	case "idle_lock":
		c.IdleLock, err = duration(key, v)
	case "hard_lock":
		c.HardLock, err = duration(key, v)
	case "durability":
		c.Durability, err = word(key, v, "normal", "strict")
	case "start_on_demand":
		var on bool
		on, err = boolean(key, v)
		c.StartByHand = !on && err == nil
	default:
		err = fmt.Errorf("%w: unknown key %.40q", ErrConfig, key)
	}
	return err
}

// boolean reads true or false.
func boolean(key string, v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%w: %s is true or false", ErrConfig, key)
	}
	return b, nil
}

// word reads a string, one of allowed where that is not empty.
func word(key string, v any, allowed ...string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%w: %s is not a string", ErrConfig, key)
	}
	if len(allowed) > 0 && !slices.Contains(allowed, s) {
		return "", fmt.Errorf("%w: %s is one of %s", ErrConfig, key, strings.Join(allowed, ", "))
	}
	return s, nil
}

// absolute reads an absolute path.
func absolute(key string, v any) (string, error) {
	s, err := word(key, v)
	if err == nil && !filepath.IsAbs(s) {
		return "", fmt.Errorf("%w: %s is an absolute path", ErrConfig, key)
	}
	return s, err
}

// duration reads a string such as "45m"; it is between a second and a year.
func duration(key string, v any) (time.Duration, error) {
	s, err := word(key, v)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > 365*24*time.Hour {
		return 0, fmt.Errorf("%w: %s is a time such as \"45m\" or \"8h\"", ErrConfig, key)
	}
	return d, nil
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
