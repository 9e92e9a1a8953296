// Command nsagent is a local secrets vault and signing agent for NetSuite.
package main

import (
	"os"

	"github.com/nsagent/nsagent/cmd/nsagent/command"
)

func main() { os.Exit(command.Main(os.Args[1:])) }
