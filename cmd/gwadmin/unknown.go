package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/gwadmin/gwadmin/admin"
)

// An unknownOutcome prints what was sent and not answered. Results have it, too.
type unknownOutcome struct {
	Call string `json:"call,omitempty"`
	admin.Sent
}

// unknownOf returns what was sent, if the outcome is unknown.
func unknownOf(err error) *unknownOutcome {
	if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](err); ok {
		return &unknownOutcome{unknown.Call, unknown.Sent}
	}
	if errors.Is(err, admin.ErrOutcomeUnknown) { // of a migration
		return &unknownOutcome{Call: "migrate"}
	}
	return nil
}

// An unknownResult is printed where there is no other result.
type unknownResult struct {
	OutcomeUnknown *unknownOutcome `json:"outcome_unknown"`
}

func (u unknownResult) lines() []any               { return []any{u} }
func (u unknownResult) tables(*app) []table.Writer { return nil } // describe says it

// printUnknown prints an unknown outcome as JSON. With json it is part of the result, if one
// was printed.
func (a *app) printUnknown(err error, printed bool) {
	unknown := unknownOf(err)
	if unknown == nil || a.format == formatTable || printed && a.format == formatJSON {
		return
	}
	_ = a.print(unknownResult{unknown}) // the error is on standard error
}

// lookFor says how to find out what has been done.
func lookFor(unknown *unknownOutcome) string {
	const most = 20
	command := "gwadmin migrate status; the same command does what is left to do"
	switch sent := unknown.Sent; {
	case unknown.Call == "migrate":
	case strings.HasPrefix(unknown.Call, "add job"):
		command = "gwadmin jobs list --sort -created_at"
	case unknown.Call == "remove job":
		command = "gwadmin jobs show --key KEY"
	case len(sent.IDs) > most:
		command = fmt.Sprintf("gwadmin jobs show ID; the ids are from %d to %d", sent.IDs[0], sent.IDs[len(sent.IDs)-1])
	case len(sent.IDs) > 0:
		ids := make([]string, len(sent.IDs))
		for i, id := range sent.IDs {
			ids[i] = strconv.FormatInt(id, 10)
		}
		command = "gwadmin jobs list --id " + strings.Join(ids, ",")
	case sent.Workers > 0:
		command = "gwadmin workers list"
	case sent.Task != "":
		command = "the same command with --dry-run"
	case unknown.Call == "restore queues":
		command = "gwadmin jobs list --state stranded"
	default:
		command = "gwadmin queues"
	}
	return "What was sent is done whole or not at all. To see which: " + command
}
