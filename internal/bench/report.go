package bench

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// tableEnv names a file that gets the results as a Markdown table.
const tableEnv = "GWADMIN_BENCH_TABLE"

// A result is one line of the table.
type result struct {
	Work, Size, Unit   string
	Ours, Theirs       string
	OurTime, TheirTime float64 // nanoseconds for a unit, the median
	Ratio, Low, High   float64 // the median, and its 10th and 90th percentile
	OursCapped         bool    // stopped: ours is slower than OurTime
	TheirsCapped       bool
	Aim                aim
	Rounds             int
	Figures            *[2]string // how to show ours and theirs; nil: as units per second
}

var (
	resultsMu sync.Mutex
	results   []result
)

func record(r result) {
	resultsMu.Lock()
	defer resultsMu.Unlock()
	results = append(results, r)
}

// writeTable writes the results to the file that the environment names, and prints
// them.
func writeTable(setting []string) error {
	resultsMu.Lock()
	defer resultsMu.Unlock()
	if len(results) == 0 {
		return nil
	}
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintln(w, "# "+strings.Join(r.cells(), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	file := os.Getenv(tableEnv)
	if file == "" {
		return nil
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| work | size | compared with | ours | theirs | ratio (10th to 90th percentile) | aim |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	for _, r := range results {
		fmt.Fprintln(&b, "| "+strings.Join(r.cells(), " | ")+" |")
	}
	fmt.Fprintf(&b, "\nMeasured on %s: %s.\n", time.Now().UTC().Format(time.DateOnly), strings.Join(setting, "; "))
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

func (r result) cells() []string {
	figures := [2]string{rate(r.OurTime, r.Unit), rate(r.TheirTime, r.Unit)}
	if r.Figures != nil {
		figures = *r.Figures
	}
	ratio := figure(r.Ratio)
	if r.Low != r.High {
		ratio += fmt.Sprintf(" (%s–%s)", figure(r.Low), figure(r.High))
	}
	slower := map[bool]string{true: "stopped: > ", false: "stopped: < "}[r.Unit == ""]
	if r.OursCapped {
		figures[0] = slower + figures[0]
	}
	if r.TheirsCapped {
		figures[1] = slower + figures[1]
	}
	switch larger := r.TheirsCapped == (r.Aim.atMost == 0); {
	case r.OursCapped == r.TheirsCapped:
	case larger:
		ratio = "> " + figure(r.Ratio)
	default:
		ratio = "< " + figure(r.Ratio)
	}
	aim := r.Aim.String()
	switch {
	case r.Aim.met(r.Ratio):
	case r.TheirsCapped:
		aim += ", not measured to the end"
	default:
		aim += ", missed"
	}
	ours := ""
	if r.Ours != "gwadmin" {
		ours = r.Ours + ": "
	}
	return []string{r.Work, r.Size, r.Theirs, ours + figures[0], figures[1], ratio, aim}
}

// rate writes the time for one unit as units per second, or, without a unit, as a time.
func rate(nanoseconds float64, unit string) string {
	if unit == "" {
		return figure(nanoseconds/1e6) + " ms"
	}
	return figure(1e9/nanoseconds) + " " + unit + "/s"
}

// figure writes a number with three digits.
func figure(x float64) string {
	switch {
	case x >= 1000:
		scale := math.Pow10(int(math.Log10(x)) - 2)
		return count(int(math.Round(x/scale) * scale))
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// count writes a number with its digits in groups.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}
