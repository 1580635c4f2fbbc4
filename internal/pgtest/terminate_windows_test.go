package pgtest_test

import "testing"

func terminate(*testing.T, int) {} // the server ended with its process
