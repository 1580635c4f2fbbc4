package typescript_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/typescript"
)

var update = flag.Bool("update", false, "write the golden files")

func TestWrite(t *testing.T) {
	t.Parallel()
	const golden = "testdata/samples.d.ts"
	var got bytes.Buffer
	if err := typescript.Write(&got, tasksOf(samples(t)), options); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: -want +got\n%s", golden, diff)
	}
}
