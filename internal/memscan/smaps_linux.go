package memscan

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// mapping is one entry of /proc/PID/smaps.
type mapping struct {
	start, end uint64
	name       string // path, or what the kernel calls it, or "anonymous"; then the permissions
	resident   uint64 // KiB in memory or in swap
	locked     bool   // VmFlags lo
}

// parseSmaps reads the entries of /proc/PID/smaps: a header as in maps(5), lines
// "Key: value", and one line of VmFlags.
func parseSmaps(text []byte) ([]mapping, error) {
	var all []mapping
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		key, value, _ := strings.Cut(line, ":")
		if len(all) == 0 || strings.Contains(key, " ") {
			m, err := parseHeader(line)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
			continue
		}
		m := &all[len(all)-1]
		switch key {
		case "Rss", "Swap":
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("parsing smaps: %w", err)
			}
			m.resident += kib
		case "VmFlags":
			for f := range strings.FieldsSeq(value) {
				m.locked = m.locked || f == "lo"
			}
		}
	}
	return all, lines.Err()
}

// parseHeader reads "start-end perms offset dev inode name", as in maps(5).
func parseHeader(line string) (mapping, error) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return mapping{}, fmt.Errorf("parsing smaps line %q", line)
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parsing smaps line %q: %w", line, err)
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parsing smaps line %q: %w", line, err)
	}
	name := "anonymous"
	if len(fields) > 5 {
		name = strings.Join(fields[5:], " ")
	}
	return mapping{start: start, end: end, name: name + " " + fields[1]}, nil
}
