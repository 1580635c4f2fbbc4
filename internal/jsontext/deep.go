package jsontext

import "strings"

// TooDeep reports whether an error of encoding/json is about a value that is nested more than
// 10 000 levels deep. The package has no type for it.
func TooDeep(err error) bool {
	return err != nil && strings.HasSuffix(err.Error(), "exceeded max depth")
}
