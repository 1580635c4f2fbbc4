package graphile

import "database/sql/driver"

// Unwrap returns the connection of type T among a connection of database/sql and those that
// it wraps.
func Unwrap[T any](conn any) (unwrapped T, ok bool) {
	for {
		if unwrapped, ok = conn.(T); ok {
			return unwrapped, true
		}
		wrapper, ok := conn.(interface{ Raw() driver.Conn })
		if !ok {
			return unwrapped, false
		}
		conn = wrapper.Raw()
	}
}
