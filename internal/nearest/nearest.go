// Package nearest finds the name that somebody most likely meant, for "did you
// mean".
package nearest

import (
	"strings"
	"unicode/utf8"
)

// maxWord is the longest word that is compared, in bytes: work grows with its square,
// and nobody means a name by more.
const maxWord = 64

// Name returns the one of names that word was most likely meant to be, or "" where
// none is near: at most a third of the letters are wrong, missing, too many or in
// each other's place, and at most three. Where nothing is that near, a single name
// that begins with word is meant. Case does not count. Of names that are equally
// near, the first in the list wins.
func Name(word string, names []string) string {
	if found := Misspelt(word, names); found != "" {
		return found
	}
	low, found := strings.ToLower(word), ""
	if len(low) < 2 || len(low) > maxWord {
		return ""
	}
	for _, name := range names {
		if !strings.HasPrefix(strings.ToLower(name), low) {
			continue
		}
		if found != "" {
			return "" // it could be either
		}
		found = name
	}
	return found
}

// Misspelt is Name for words that are meant to be whole.
func Misspelt(word string, names []string) string {
	if word == "" || len(word) > maxWord {
		return ""
	}
	low, found := strings.ToLower(word), ""
	best := min(max(utf8.RuneCountInString(low)/3, 1), 3) + 1
	for _, name := range names {
		if len(name) > maxWord {
			continue
		}
		if d := distance([]rune(low), []rune(strings.ToLower(name))); d < best {
			best, found = d, name
		}
	}
	return found
}

// distance counts the letters to change, insert, remove or swap with their neighbour
// to make a into b (optimal string alignment).
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
