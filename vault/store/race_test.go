//go:build race

package store

// raceDetector says that the tests run under the race detector, which makes each
// child ten times as slow under strace.
const raceDetector = true
