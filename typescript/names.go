package typescript

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// taken are the names that graphile-worker's namespace has, in which payloads are written.
var taken = []string{
	"Tasks", "InitEvent", "BootstrapEvent", "MigrateEvent",
	"PoolGracefulShutdownEvent", "PoolForcefulShutdownEvent", "PoolWorkerPrematureExitEvent",
}

// names gives each declared type a name: its own, or that and its package's in front
// where another type has it, too, and at last a number.
func names(declared []declaration) map[reflect.Type]string {
	count := map[string]int{}
	for _, name := range taken {
		count[name]++
	}
	types := []reflect.Type{}
	names := map[reflect.Type]string{}
	for _, d := range declared {
		if _, ok := names[d.typ]; !ok {
			types = append(types, d.typ)
			names[d.typ] = pascal(d.typ.Name())
			count[names[d.typ]]++
		}
	}
	used := map[string]bool{}
	for _, t := range types {
		if count[names[t]] == 1 {
			used[names[t]] = true
		}
	}
	for _, t := range types {
		if count[names[t]] == 1 {
			continue
		}
		pkg, _, _ := strings.Cut(t.String(), ".")
		name := pascal(pkg) + names[t]
		for n := 2; used[name]; n++ {
			name = fmt.Sprintf("%s%s%d", pascal(pkg), names[t], n)
		}
		used[name] = true
		names[t] = name
	}
	return names
}

// qualifier is what stands before a type's name within another's, as in Page[example.com/orders.Item].
var qualifier = regexp.MustCompile(`[^\[\]{}(),;*" ]*[./]`)

// pascal makes one name of a Go type's, whose type arguments may be any type.
func pascal(name string) string {
	words := strings.FieldsFunc(qualifier.ReplaceAllString(name, ""), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_'
	})
	for i, word := range words {
		runes := []rune(word)
		runes[0] = unicode.ToUpper(runes[0])
		words[i] = string(runes)
	}
	return strings.Join(words, "")
}
