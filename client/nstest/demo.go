package nstest

import (
	"embed"
	"strings"
)

// demoFiles holds the demo configuration and the private keys of its two
// certificates. All of it is published sample data and no secret.
//
//go:embed demo/config.json demo/1234567.pem demo/1234567_SB1.pem
var demoFiles embed.FS

// DemoConfig returns a NetSuite with the accounts 1234567_SB1 and 1234567, each
// with integration records for each way to log in, one token, one certificate and
// 25 customers. Its keys and secrets are samples that Oracle has published, and
// others that this repository publishes; docs/mock.md lists them.
func DemoConfig() Config {
	data, err := demoFiles.ReadFile("demo/config.json")
	if err != nil {
		return Config{}
	}
	c, err := ReadConfig(strings.NewReader(string(data)))
	if err != nil {
		return Config{}
	}
	return c
}

// DemoPrivateKey returns the published private key, as PEM (PKCS #8, EC P-256),
// that belongs to the certificate of an account of DemoConfig; empty for any
// other account ID.
func DemoPrivateKey(accountID string) []byte {
	if accountID != "1234567" && accountID != "1234567_SB1" {
		return nil
	}
	data, err := demoFiles.ReadFile("demo/" + accountID + ".pem")
	if err != nil {
		return nil
	}
	return data
}
