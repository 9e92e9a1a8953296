package policy

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	maxCA        = 16 << 10 // bytes of PEM
	beginPEM     = "-----BEGIN CERTIFICATE-----"
	endPEM       = "-----END CERTIFICATE-----"
	onlyPEMThere = "only certificates in PEM may stand there"
)

// checkCA demands PEM certificates, one or more, and nothing beside but empty lines: what
// a reader for many purposes passes over is a mistake in a file that says whom to trust.
// The error names the line, and quotes nothing: it might be a private key.
func checkCA(text string) error {
	if len(text) > maxCA {
		return fmt.Errorf("the CA is larger than %d bytes", maxCA)
	}
	lines := strings.Split(text, "\n")
	begin, some := -1, false
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
		switch line = lines[i]; {
		case line == "":
		case begin < 0 && line == beginPEM:
			begin = i
		case begin < 0:
			return fmt.Errorf("line %d of the CA: %s", i+1, onlyPEMThere)
		case line == endPEM:
			if !isCertificate(strings.Join(lines[begin+1:i], "")) {
				return fmt.Errorf("line %d of the CA: the certificate that begins there cannot be read", begin+1)
			}
			begin, some = -1, true
		}
	}
	if begin >= 0 {
		return fmt.Errorf("line %d of the CA: the certificate that begins there has no end", begin+1)
	}
	if !some {
		return errors.New("the CA has no certificate; " + onlyPEMThere)
	}
	return nil
}

// isCertificate reports whether text is a certificate in base64.
func isCertificate(text string) bool {
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return false
	}
	_, err = x509.ParseCertificate(der)
	return err == nil
}
