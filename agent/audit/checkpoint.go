package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is one signed statement of what the log held: a checkpoint of C2SP in a
// signed note, with lines of our own behind its three. docs/audit-log.md is the format.
type Checkpoint struct {
	// Origin names the chain of keys, by the first of them.
	Origin string
	// Size is how many entries it covers, from entry 1, and Root the root of the Merkle
	// tree over their lines.
	Size uint64
	Root tlog.Hash
	// Head is the hash of the line of entry Size.
	Head Hash
	// Peaks are the roots of the complete subtrees of the tree, the largest first: from
	// them the tree can be continued without the entries.
	Peaks []tlog.Hash
	// Time is when it was signed, to the microsecond.
	Time time.Time
	// Start is the verifier key of this checkpoint where it is the first of its chain,
	// else empty. Next is the one of the checkpoint that follows.
	Start, Next string

	hash      uint32 // of the key that signed
	signature []byte
}

const (
	originPrefix = "nsagent/audit/v1/"
	signaturePre = "\u2014 " // em dash and blank, as signed notes have it
	// maxCheckpoint is more bytes than a checkpoint can have, 64 peaks included.
	maxCheckpoint = 4096
)

// originOf returns the origin of the chain that the key starts.
func originOf(first ed25519.PublicKey) string {
	sum := sha256.Sum256(first)
	return originPrefix + hex.EncodeToString(sum[:8])
}

// verifierKey returns key in the form of signed notes: name, hash and key.
func verifierKey(origin string, key ed25519.PublicKey) string {
	s, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return "" // the key has another length than all have
	}
	return s
}

// text returns what is signed.
func (c *Checkpoint) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%d\n%s\nhead %x\ntree", c.Origin, c.Size, c.Root, c.Head[:])
	for _, p := range c.Peaks {
		fmt.Fprintf(&b, " %s", p)
	}
	fmt.Fprintf(&b, "\ntime %s\n", appendTime(nil, c.Time))
	if c.Start != "" {
		fmt.Fprintf(&b, "start %s\n", c.Start)
	}
	fmt.Fprintf(&b, "next %s\n", c.Next)
	return b.Bytes()
}

// AppendNote appends the checkpoint as a signed note.
func (c *Checkpoint) AppendNote(dst []byte) []byte {
	dst = append(append(dst, c.text()...), '\n')
	dst = append(append(append(dst, signaturePre...), c.Origin...), ' ')
	dst = base64.StdEncoding.AppendEncode(dst, append(binary.BigEndian.AppendUint32(nil, c.hash), c.signature...))
	return append(dst, '\n')
}

// ParseCheckpoint parses one signed note. It takes the one form that a checkpoint has
// and nothing else: for whatever it takes, AppendNote gives the same bytes. It checks no
// signature. The error wraps ErrCheckpoint and names the line at fault.
func ParseCheckpoint(msg []byte) (Checkpoint, error) {
	var c Checkpoint
	fault := c.parse(string(msg))
	if fault == "" && !bytes.Equal(c.AppendNote(nil), msg) {
		fault = "not in its one right form"
	}
	if fault != "" {
		return Checkpoint{}, fmt.Errorf("%w: %s", ErrCheckpoint, fault)
	}
	return c, nil
}

// parse fills c and returns the line at fault. What it forgives, formatting finds.
func (c *Checkpoint) parse(msg string) string {
	if len(msg) > maxCheckpoint {
		return "too long"
	}
	text, last, ok := strings.Cut(msg, "\n\n"+signaturePre)
	if !ok {
		return "signature"
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 7 && len(lines) != 8 {
		return "number of lines"
	}
	c.Origin = lines[0]
	if id, ok := strings.CutPrefix(c.Origin, originPrefix); !ok || len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		return "origin"
	}
	var err error
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || c.Size == 0 {
		return "size"
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return "root"
	}
	head, err := hex.DecodeString(strings.TrimPrefix(lines[3], "head "))
	if err != nil || copy(c.Head[:], head) != len(head) {
		return "head"
	}
	for _, s := range strings.Fields(strings.TrimPrefix(lines[4], "tree ")) {
		p, err := tlog.ParseHash(s)
		if err != nil {
			return "tree"
		}
		c.Peaks = append(c.Peaks, p)
	}
	if t := (&tree{c.Size, c.Peaks}); !t.valid() || t.root() != c.Root {
		return "tree"
	}
	when := cursor{rest: []byte(strings.TrimPrefix(lines[5], "time "))}
	if c.Time = when.time(); when.bad != "" {
		return "time"
	}
	if len(lines) == 8 {
		c.Start = strings.TrimPrefix(lines[6], "start ")
		if key, ok := c.key(c.Start); !ok || originOf(key) != c.Origin {
			return "start"
		}
	}
	c.Next = strings.TrimPrefix(lines[len(lines)-1], "next ")
	if _, ok := c.key(c.Next); !ok {
		return "next"
	}
	return c.parseSignature(last)
}

// key returns the key of a verifier key in its one right form, with the name of c.
func (c *Checkpoint) key(s string) (ed25519.PublicKey, bool) {
	key, err := parseKey(s)
	return key, err == nil && verifierKey(c.Origin, key) == s
}

// ValidKey reports whether s is a verifier key of a chain of checkpoints.
func ValidKey(s string) bool {
	key, err := parseKey(s)
	return err == nil && originOf(key) == s[:len(originPrefix)+16]
}

// parseKey returns the key of a verifier key.
func parseKey(s string) (ed25519.PublicKey, error) {
	name, rest, _ := strings.Cut(s, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || verifierKey(name, raw[1:]) != s {
		return nil, fmt.Errorf("%w: not a verifier key", ErrCheckpoint)
	}
	return raw[1:], nil
}

func (c *Checkpoint) parseSignature(line string) string {
	_, encoded, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 4+ed25519.SignatureSize {
		return "signature"
	}
	c.hash, c.signature = binary.BigEndian.Uint32(raw), raw[4:]
	return ""
}

// signedBy reports whether the checkpoint has the signature of that verifier key.
func (c *Checkpoint) signedBy(key string) bool {
	v, err := note.NewVerifier(key)
	if err != nil {
		return false
	}
	n, err := note.Open(c.AppendNote(nil), note.VerifierList(v))
	return err == nil && len(n.Sigs) == 1 && len(n.UnverifiedSigs) == 0
}

// sign signs c by the key that it is the turn of, and erases that key.
func (c *Checkpoint) sign(keys Keys) error {
	public, err := keys.Public()
	if err != nil {
		return fmt.Errorf("audit: reading the signing key: %w", err)
	}
	v, err := note.NewVerifier(verifierKey(c.Origin, public))
	if err != nil {
		return fmt.Errorf("audit: naming the signing key: %w", err)
	}
	msg, err := note.Sign(&note.Note{Text: string(c.text())}, oneTimeSigner{v, keys})
	if err != nil {
		return fmt.Errorf("audit: signing a checkpoint: %w", err)
	}
	if *c, err = ParseCheckpoint(msg); err != nil {
		return err
	}
	if !c.signedBy(verifierKey(c.Origin, public)) {
		return fmt.Errorf("%w: its signature does not verify", ErrCheckpoint)
	}
	return nil
}

// oneTimeSigner is a note.Signer whose key is gone once it has signed.
type oneTimeSigner struct {
	note.Verifier
	keys Keys
}

// Sign signs msg.
func (s oneTimeSigner) Sign(msg []byte) ([]byte, error) { return s.keys.Sign(msg) }
