package nstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const maxJSONDepth = 32

// checkJSON says whether data is exactly one JSON value, in UTF-8, without an
// object that has a key twice. If key is not nil it is asked about each key.
func checkJSON(data []byte, key func(string) error) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkJSONValue(d, key, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func checkJSONValue(d *json.Decoder, key func(string) error, depth int) error {
	if depth > maxJSONDepth {
		return errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	keys := map[string]bool{}
	for d.More() {
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return fmt.Errorf("reading JSON: %w", err)
			}
			name, ok := t.(string)
			if !ok {
				return errors.New("key that is not a string")
			}
			if keys[name] {
				return fmt.Errorf("key %q is there twice", clip(name, 64))
			}
			keys[name] = true
			if key != nil {
				if err := key(name); err != nil {
					return err
				}
			}
		}
		if err := checkJSONValue(d, key, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	return nil
}

// decodeObject reads one JSON object by exact key.
func decodeObject(data []byte) (map[string]json.RawMessage, error) {
	if err := checkJSON(data, nil); err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("not an object")
	}
	return object, nil
}

// ReadConfig reads the JSON form of a Config and checks it. Unknown keys, keys in
// another case, keys that are there twice, and anything after the object are
// refused. Errors wrap ErrConfig.
func ReadConfig(r io.Reader) (Config, error) {
	const max = 4 << 20
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return Config{}, fmt.Errorf("%w: reading: %w", ErrConfig, err)
	}
	if len(data) > max {
		return Config{}, fmt.Errorf("%w: longer than %d bytes", ErrConfig, max)
	}
	var c Config
	if err := decodeStrictly(data, &c); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := c.Check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// decodeStrictly reads one JSON object into a struct: unknown keys, keys in
// another case and keys that are there twice are errors.
func decodeStrictly(data []byte, into any) error {
	// encoding/json takes a key in any case; all of ours are lower case.
	err := checkJSON(data, func(key string) error {
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return fmt.Errorf("unknown key %q", clip(key, 64))
		}
		return nil
	})
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
