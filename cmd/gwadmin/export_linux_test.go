package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// An export of ten times the jobs needs no more memory, and one with some payloads that are a
// thousand times as long not much more.
func TestExportMemory(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
	add := func(n, bytes int) {
		s.exec(`insert into graphile_worker._private_jobs (task_id, payload) select 1, to_json(repeat('x', $2)) from generate_series(1, $1)`, n, bytes)
	}
	// peak is the peak memory of an export in MiB. Its resource usage would include that of
	// the test process, from which it was forked.
	peak := func(lines int, args ...string) (most int) {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := command(t, s.env(), append([]string{"jobs", "export"}, args...)...)
		cmd.Stdout = in
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		found := 0
		chunk := make([]byte, 64<<10)
		for {
			n, err := out.Read(chunk)
			found += bytes.Count(chunk[:n], []byte("\n"))
			if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); status != nil {
				_, after, _ := strings.Cut(string(status), "VmHWM:")
				var kib int
				fmt.Sscan(after, &kib)
				most = max(most, kib>>10)
			}
			if err != nil {
				break
			}
		}
		checkCode(t, exitOK, result{Code: exitOf(t, cmd)})
		check(t, "lines", lines, found)
		if most == 0 {
			t.Fatal("no memory was seen")
		}
		return most
	}
	add(20_000, 300)
	few := peak(20_000)
	add(180_000, 300)
	for _, output := range []string{"ndjson", "csv"} {
		lines := 200_000
		if output == "csv" {
			lines++ // the header
		}
		if many := peak(lines, "-o", output); many > few+16 {
			t.Errorf("%s: %d MiB for 200 000 jobs, %d for 20 000", output, many, few)
		}
	}
	for _, short := range []int{3000, 0} {
		s.exec(`delete from graphile_worker._private_jobs where id > $1`, short)
		add(300, 1<<20)
		if long := peak(short + 300); long > few+100 {
			t.Errorf("%d MiB for 300 MiB of long payloads after %d short ones, %d for short ones", long, short, few)
		} else {
			t.Logf("%d MiB, and %d for long payloads after %d short ones", few, long, short)
		}
	}
}
