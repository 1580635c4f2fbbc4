package ui

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// The page shows when the items of the crontab run next, beside what workers have recorded,
// and reads the crontab again each time.
func TestCrontabs(t *testing.T) {
	t.Parallel()
	text := "0 4 29 2 * leap_day\n*/5 * * * * often ?id=five\n30 2 30 2 * never_comes\n"
	var broken error
	s := newSite(t, Options{Crontab: func() (string, error) { return text, broken }})
	s.exec(t, `insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution) values ('five', now() - interval '2 days', now() - interval '5 minutes'), ('gone', now() - interval '40 days', null)`)
	page := s.page(t, "/crontabs")
	row := func(id string) string {
		_, rest, found := strings.Cut(page, `id="cron-`+id+`"`)
		if !found {
			t.Fatalf("no item %s", id)
		}
		row, _, _ := strings.Cut(rest, "</tr>")
		return row
	}
	contains(t, row("five"), "*/5 * * * *", "often", "5 min ago", "in ", "then 2", "2 d ago", `value="five"`)
	contains(t, row("leap_day"), "no worker has recorded it", "-02-29 04:00 UTC", "never</td>")
	if runs := regexp.MustCompile(`\d{4}-02-29 04:00 UTC`).FindAllString(row("leap_day"), -1); len(runs) != 2 || runs[0] >= runs[1] {
		t.Errorf("the runs after the next one: %v", runs)
	}
	contains(t, row("never_comes"), `data-label="Next runs">never`)
	contains(t, row("gone"), "not in the crontab", `data-label="Next runs">–`)
	lacks(t, row("gone"), "Run now")
	text = "0 4 * * * other\n"
	contains(t, s.page(t, "/crontabs"), `id="cron-other"`)
	text = "0 4 * *\n"
	contains(t, s.page(t, "/crontabs"), "the crontab, line 1: it does not have five time fields and a task", `id="cron-gone"`)
	broken = errors.New("no such file")
	contains(t, s.page(t, "/crontabs"), "the crontab cannot be read: no such file", `id="cron-gone"`)

	bare := newSite(t, Options{})
	contains(t, bare.page(t, "/crontabs"), "--crontab FILE", "No worker has recorded a cron item")
	if got := bare.send(t, "POST", "/crontabs/run", url.Values{"item": {"five"}}); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.text, "this page has no crontab") {
		t.Errorf("run without a crontab: %s", got.Status)
	}
}

var printField = regexp.MustCompile(`name="previewed" value="([^"]+)"`)

// An item runs now after a preview that adds nothing, with its options, and once more after
// the crontab has changed.
func TestRunCronItem(t *testing.T) {
	t.Parallel()
	text := `0 4 * * * report ?id=nightly&max=3&queue=slow&priority=-2&jobKey=the-report {to:"ada"}` + "\n"
	s := newSite(t, Options{Crontab: func() (string, error) { return text, nil }, Authenticate: Basic(func(user, _ string) bool { return user == "ada" })})
	ada := []string{"Authorization", "Basic YWRhOng="}
	jobs := func() int {
		stats, err := s.client.Stats(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return int(stats.Jobs.Total())
	}
	preview := s.send(t, "POST", "/crontabs/run", url.Values{"item": {"nightly"}}, ada...)
	contains(t, preview.text, "A job would be added.", "<dd>report</dd>", "<dd>slow</dd>", "<dd>the-report</dd>", "<dd>-2</dd>", "<dd>3</dd>", "&#34;to&#34;: &#34;ada&#34;", "&#34;_cron&#34;", "gwadmin crontabs run --file crontab nightly", "client.AddJob")
	if n := jobs(); n != 0 {
		t.Fatalf("the preview has added %d jobs", n)
	}
	form := url.Values{"item": {"nightly"}, "previewed": {printField.FindStringSubmatch(preview.text)[1]}}
	text = strings.ReplaceAll(text, "ada", "eve")
	changed := s.send(t, "POST", "/crontabs/run", form, ada...)
	contains(t, changed.text, "The crontab has changed since the preview", "&#34;eve&#34;")
	if n := jobs(); n != 0 {
		t.Fatalf("%d jobs were added that were not previewed", n)
	}
	form.Set("previewed", printField.FindStringSubmatch(changed.text)[1])
	if got := s.send(t, "POST", "/crontabs/run", form, ada...); got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got.Header.Get("Location"), "../jobs/") {
		t.Fatalf("%s to %q\n%s", got.Status, got.Header.Get("Location"), got.text)
	}
	job, err := s.client.GetJobByKey(t.Context(), "the-report")
	if err != nil || job.TaskIdentifier != "report" || job.MaxAttempts != 3 || job.Priority != -2 || *job.QueueName != "slow" || !strings.Contains(string(job.Payload), `"eve"`) {
		t.Errorf("%+v %v", job, err)
	}
	contains(t, s.log.String(), `change="run cron item"`, "user=ada", "item=nightly", "failed=false")
	again := s.send(t, "POST", "/crontabs/run", url.Values{"item": {"nightly"}}, ada...)
	contains(t, again.text, "which has the key, would be updated")
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now(), locked_by = 'w'`)
	again = s.send(t, "POST", "/crontabs/run", url.Values{"item": {"nightly"}}, ada...)
	contains(t, again.text, "would lose the key, since a worker holds it")
	if got := s.send(t, "POST", "/crontabs/run", url.Values{"item": {"none"}}, ada...); got.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown item: %s", got.Status)
	}
}
