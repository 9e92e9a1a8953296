package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// formatName is hashed into the first entry.
const formatName = "nsagent/audit/v1\n"

// Hash is the SHA-256 of one line, its newline included.
type Hash [sha256.Size]byte

// Head is a place in the chain: the number and the hash of an entry. The zero Head
// stands before the first entry.
type Head struct {
	Seq  uint64
	Hash Hash
}

// before returns the hash that the next entry holds.
func (h Head) before() Hash {
	if h.Seq == 0 {
		return sha256.Sum256([]byte(formatName))
	}
	return h.Hash
}

// follow appends the line of the next entry to dst, and returns the Head that it makes.
func (h Head) follow(dst, body []byte) ([]byte, Head) {
	prev := h.before()
	start := len(dst)
	dst = appendLine(dst, h.Seq+1, body, &prev)
	return dst, Head{Seq: h.Seq + 1, Hash: sha256.Sum256(dst[start:])}
}

// ends returns the number and the prev of a line, by its two ends; zeros where they are
// not those of a line.
func ends(line []byte) (seq uint64, prev Hash) {
	end := len(line) - len("\"}\n")
	start := end - 2*len(prev)
	if start < 0 {
		return 0, Hash{}
	}
	if _, err := hex.Decode(prev[:], line[start:end]); err != nil {
		return 0, Hash{}
	}
	return seqOf(line), prev
}

// appendBody appends the part of the line that does not depend on the chain: all
// between seq and prev. It allocates nothing if dst has room and the texts are plain.
func appendBody(dst []byte, e *Event) []byte {
	dst = append(dst, `,"time":"`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, `","event":"`...)
	dst = append(dst, e.Event...)
	dst = append(dst, `","outcome":"`...)
	dst = append(dst, e.Outcome...)
	dst = append(dst, '"')
	dst = appendField(dst, `,"reason":"`, e.Reason, maxReason)
	dst = appendField(dst, `,"profile":"`, e.Profile, maxProfile)
	dst = appendField(dst, `,"account":"`, e.Account, maxAccount)
	dst = appendField(dst, `,"kind":"`, e.Kind, maxKind)
	dst = appendField(dst, `,"method":"`, e.Method, maxMethod)
	dst = appendField(dst, `,"host":"`, e.Host, maxHost)
	dst = appendField(dst, `,"path":"`, pathOnly(e.Path), maxPath)
	dst = appendField(dst, `,"restlet":"`, restletOnly(e.RESTlet), maxRESTlet)
	dst = append(dst, `,"uid":`...)
	dst = strconv.AppendInt(dst, int64(max(e.UID, -1)), 10)
	dst = append(dst, `,"pid":`...)
	dst = strconv.AppendInt(dst, int64(max(e.PID, -1)), 10)
	dst = appendField(dst, `,"exe":"`, e.Exe, maxExe)
	dst = appendField(dst, `,"grant":"`, e.Grant, maxGrant)
	dst = appendField(dst, `,"rule":"`, e.Rule, maxRule)
	dst = appendField(dst, `,"detail":"`, e.Detail, maxDetail)
	return dst
}

// appendLine appends the whole line with its newline.
func appendLine(dst []byte, seq uint64, body []byte, prev *Hash) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, body...)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, prev[:])
	return append(dst, '"', '}', '\n')
}

func appendField(dst []byte, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, key...)
	dst = appendText(dst, s, limit)
	return append(dst, '"')
}

// pathOnly cuts a query or fragment off.
func pathOnly(s string) string {
	for i := range len(s) {
		if s[i] == '?' || s[i] == '#' {
			return s[:i]
		}
	}
	return s
}

// restletOnly returns s where it names a RESTlet, and "" where it does not: nothing else of a
// query comes into the log.
func restletOnly(s string) string {
	if script, deploy, _ := strings.Cut(s, "/"); !namesScript(script) || !namesScript(deploy) {
		return ""
	}
	return s
}

func namesScript(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxScript
}

// appendTime does what AppendFormat with the layout 2006-01-02T15:04:05.000000Z would,
// in less time. Years that RFC 3339 cannot write become the nearest that it can.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	micro := t.Nanosecond() / 1000
	year = min(max(year, 0), 9999)
	dst = append2(append2(dst, year/100), year%100)
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), day)
	dst = append2(append(dst, 'T'), hour)
	dst = append2(append(dst, ':'), minute)
	dst = append2(append(dst, ':'), second)
	dst = append2(append(dst, '.'), micro/10000)
	dst = append2(dst, micro/100%100)
	dst = append2(dst, micro%100)
	return append(dst, 'Z')
}

// append2 appends n, below 100, in two digits.
func append2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}
