// Package shell writes what a shell and the flags of the command read.
package shell

import (
	"slices"
	"strings"
)

// Command writes a command: a verb, such as jobs list, its flags, and what follows them. Two
// dashes are between where an argument could be taken for a flag.
func Command(verb string, flags []string, arguments ...string) string {
	words := append([]string{"gwadmin"}, strings.Fields(verb)...)
	words = append(words, flags...)
	if slices.ContainsFunc(arguments, func(argument string) bool { return strings.HasPrefix(argument, "-") }) {
		words = append(words, "--")
	}
	words = append(words, arguments...)
	for i, word := range words {
		words[i] = Word(word)
	}
	return strings.Join(words, " ")
}

// OnTarget makes a hint that gives a command, or none, name a target.
func OnTarget(hint, target string) string {
	return strings.Replace(hint, "gwadmin ", "gwadmin --target "+Word(target)+" ", 1)
}

// Element quotes a value of a flag that takes several, separated by commas, if it needs that.
func Element(value string) string {
	if !strings.ContainsAny(value, ",\"\r\n") && strings.TrimLeft(value, " ") == value && value != "" {
		return value
	}
	return `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
}

// Word quotes a word, if it needs that.
func Word(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.,:/@%+=", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
