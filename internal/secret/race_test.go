//go:build race

package secret

// raceEnabled says that the race detector is on. It keeps the compiler from
// dropping an allocation of zeros in crypto/sha256's AppendBinary.
const raceEnabled = true
