// Package spelling finds the names that a misspelled one may mean.
package spelling

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Near returns the names that are spelled like another one, the nearest first. It ignores
// their case and what separates their words.
func Near(name string, names []string) []string {
	word := letters(name)
	most := 2 + len(word)/10
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, other := range names {
		if d := distance(word, letters(other), most); d <= most && 2*d < max(len(word), 1) {
			found = append(found, candidate{other, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var near []string
	for _, candidate := range found {
		near = append(near, candidate.name)
	}
	return near
}

func letters(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name))
}

// distance is how many letters must be added, left out, replaced or swapped with the next
// one to turn a word into another. It may be any number above most if it is more than that.
func distance(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range b {
			cost := above[j]
			if a[i] != b[j] {
				cost = 1 + min(above[j], above[j+1], row[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, 1+before[j-1])
			}
			row[j+1] = cost
		}
	}
	return row[len(b)]
}
