package nstest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"unicode/utf8"
)

const (
	maxXMLDepth        = 64
	maxXMLNodes        = 20_000
	maxXMLAttributes   = 64  // of one element
	maxXMLDeclarations = 256 // of namespaces, in all
)

// node is an XML element with its namespace resolved.
type node struct {
	name     xml.Name
	attrs    []xml.Attr // without the namespace declarations
	children []*node
	chars    []byte // all character data directly inside
}

// openNode is an element whose end tag has not come yet.
type openNode struct {
	node   *node
	raw    xml.Name
	spaces map[string]string // by prefix
}

// xmlReader builds the tree.
type xmlReader struct {
	root     *node
	open     []openNode
	nodes    int
	declared int
}

// parseXML reads one strict XML document. It takes no document type declaration
// (so no entities of its own), no processing instruction but the XML
// declaration in front, no attribute twice and no prefix without a declaration.
func parseXML(data []byte) (*node, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the document is not UTF-8")
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var r xmlReader
	for {
		at := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading XML: %w", err)
		}
		if err := r.take(token, at); err != nil {
			return nil, err
		}
	}
	if r.root == nil || len(r.open) > 0 {
		return nil, errors.New("the document is not complete")
	}
	return r.root, nil
}

func (r *xmlReader) take(token xml.Token, at int64) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		last := len(r.open) - 1
		if last < 0 || r.open[last].raw != t.Name {
			return errors.New("an end tag does not fit")
		}
		r.open = r.open[:last]
	case xml.CharData:
		if len(r.open) > 0 {
			n := r.open[len(r.open)-1].node
			n.chars = append(n.chars, t...)
		} else if len(bytes.Trim(t, " \t\r\n")) > 0 {
			return errors.New("text outside the root element")
		}
	case xml.ProcInst:
		if t.Target != "xml" || at != 0 {
			return errors.New("processing instructions are not accepted")
		}
	case xml.Directive:
		return errors.New("a document type declaration is not accepted")
	}
	return nil
}

func (r *xmlReader) start(t xml.StartElement) error {
	if r.root != nil && len(r.open) == 0 {
		return errors.New("more than one root element")
	}
	if r.nodes++; r.nodes > maxXMLNodes || len(r.open) >= maxXMLDepth || len(t.Attr) > maxXMLAttributes {
		return errors.New("too many elements or attributes, or nested too deeply")
	}
	spaces := map[string]string{"": "", "xml": "http://www.w3.org/XML/1998/namespace"}
	if len(r.open) > 0 {
		spaces = r.open[len(r.open)-1].spaces
	}
	spaces, err := r.declare(spaces, t.Attr)
	if err != nil {
		return err
	}
	n := &node{name: t.Name}
	if err := place(&n.name, spaces); err != nil {
		return err
	}
	seen := map[xml.Name]bool{}
	for _, a := range t.Attr {
		if isDeclaration(a) {
			continue
		}
		// An attribute without a prefix is in no namespace.
		if a.Name.Space != "" {
			if err := place(&a.Name, spaces); err != nil {
				return err
			}
		}
		if seen[a.Name] {
			return errors.New("an attribute is there twice")
		}
		seen[a.Name] = true
		n.attrs = append(n.attrs, a)
	}
	if len(r.open) > 0 {
		parent := r.open[len(r.open)-1].node
		parent.children = append(parent.children, n)
	} else {
		r.root = n
	}
	r.open = append(r.open, openNode{n, t.Name, spaces})
	return nil
}

func isDeclaration(a xml.Attr) bool {
	return a.Name.Space == "xmlns" || (a.Name.Space == "" && a.Name.Local == "xmlns")
}

// declare returns the namespaces in scope once those of attrs are added.
func (r *xmlReader) declare(outer map[string]string, attrs []xml.Attr) (map[string]string, error) {
	added := map[string]string{}
	for _, a := range attrs {
		if !isDeclaration(a) {
			continue
		}
		prefix := ""
		if a.Name.Space == "xmlns" {
			prefix = a.Name.Local
			if prefix == "xml" || prefix == "xmlns" || a.Value == "" {
				return nil, errors.New("a namespace declaration is not acceptable")
			}
		}
		if _, found := added[prefix]; found {
			return nil, errors.New("a namespace declaration is there twice")
		}
		added[prefix] = a.Value
		if r.declared++; r.declared > maxXMLDeclarations {
			return nil, errors.New("too many namespace declarations")
		}
	}
	if len(added) == 0 {
		return outer, nil
	}
	inner := maps.Clone(outer)
	maps.Copy(inner, added)
	return inner, nil
}

// place turns the prefix of a name into its namespace.
func place(name *xml.Name, spaces map[string]string) error {
	space, found := spaces[name.Space]
	if !found {
		return errors.New("a prefix is not declared")
	}
	name.Space = space
	return nil
}

// is says whether the element has this namespace and local name.
func (n *node) is(space, local string) bool {
	return n.name.Space == space && n.name.Local == local
}

// text is the character data without the blanks around it.
func (n *node) text() string { return strings.Trim(string(n.chars), " \t\r\n") }

// attr returns an attribute that is in no namespace.
func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// all returns the children of this name.
func (n *node) all(space, local string) []*node {
	var out []*node
	for _, child := range n.children {
		if child.is(space, local) {
			out = append(out, child)
		}
	}
	return out
}

// escapeXML writes s as character data or attribute value.
func escapeXML(s string) string {
	var b strings.Builder
	if xml.EscapeText(&b, []byte(s)) != nil {
		return ""
	}
	return b.String()
}
