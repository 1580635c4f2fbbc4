package schema_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/gwadmin/gwadmin/schema"
)

func ExampleSQL() {
	ddl, err := schema.SQL("jobs")
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(ddl) {
		if strings.HasPrefix(line, "create table") {
			fmt.Print(line)
		}
	}
	// Output:
	// create table "jobs"._private_job_queues (
	// create table "jobs"._private_jobs (
	// create table "jobs"._private_known_crontabs (
	// create table "jobs"._private_tasks (
	// create table "jobs".migrations (
}
