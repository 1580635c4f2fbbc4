package typescript_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/typescript"
)

// write returns the TypeScript of the tasks.
func write(tb testing.TB, tasks ...admin.DeclaredTask) string {
	tb.Helper()
	var text bytes.Buffer
	if err := typescript.Write(&text, tasks, options); err != nil {
		tb.Fatal(err)
	}
	return text.String()
}

// eachCompiler runs a test with each release of TypeScript.
func eachCompiler(t *testing.T, test func(t *testing.T, compile func(files map[string]string) []string)) {
	for _, compiler := range upstream.Compilers {
		t.Run(compiler, func(t *testing.T) {
			t.Parallel()
			test(t, func(files map[string]string) []string {
				t.Helper()
				return upstream.Compile(t, compiler, "0.18.0", files)
			})
		})
	}
}

// What a worker's author sees: tasks and addJob that agree with Go's declarations
// compile, and others do not.
func TestWorkers(t *testing.T) {
	t.Parallel()
	type receipt struct {
		Order int     `json:"order"`
		Email *string `json:"email"`
		Notes string  `json:"notes,omitempty"`
	}
	payloads := write(t, admin.NewTask[receipt]("send_receipt", nil), admin.NewTask[struct{}]("ping", nil))
	const agrees = `import { quickAddJob, type AddJobsJobSpec, type JobHelpers, type Task, type TaskList } from "graphile-worker";

const sendReceipt: Task<"send_receipt"> = async (payload, helpers) => {
  const order: number = payload.order;
  const email: string | null = payload.email;
  const notes: string | undefined = payload.notes;
  helpers.logger.info([order.toFixed(), email?.trim(), notes?.trim()].join());
  await helpers.addJob("send_receipt", { order: 8, email: null, notes: "again" }, { jobKey: "order-8" });
  await helpers.addJob("ping", {});
  await helpers.addJob("a task that Go does not declare", { whatever: true });
  await quickAddJob({}, "send_receipt", { order: 9, email: "ada@example.com" });
};
export default sendReceipt;

export const list: TaskList = { send_receipt: sendReceipt };
export const spec = { identifier: "send_receipt", payload: { order: 7, email: null } } satisfies AddJobsJobSpec<"send_receipt">;
export type Payload = GraphileWorker.Tasks["send_receipt"];
export const direct = async (helpers: JobHelpers, payload: Payload) => sendReceipt(payload, helpers);
`
	const disagrees = `import { quickAddJob, type AddJobsJobSpec, type Task, type TaskList } from "graphile-worker";

export const readsAnother: Task<"send_receipt"> = async (payload) => console.log(payload.total);
export const forgetsNull: Task<"send_receipt"> = async (payload) => console.log(payload.email.trim());
export const forgetsNone: Task<"send_receipt"> = async (payload) => console.log(payload.notes.trim());
export const takesAnother: Task<"send_receipt"> = async (payload: { order: string }) => console.log(payload);
export const addsWrong: Task<"ping"> = async (_, { addJob }) => {
  await addJob("send_receipt", { order: "7", email: null });
  await addJob("send_receipt", { order: 7 });
  await addJob("send_receipt", { order: 7, email: null, total: 1 });
  await addJob("ping", { x: 1 });
  await quickAddJob({}, "send_receipt", null);
};
export const list: TaskList = { send_receipt: async (payload) => console.log(payload.total) };
export const spec = { identifier: "send_receipt", payload: {} } satisfies AddJobsJobSpec<"send_receipt">;
`
	want := []string{
		"disagrees.ts(3,90)",  // no such field
		"disagrees.ts(4,81)",  // may be null
		"disagrees.ts(5,81)",  // may not be there
		"disagrees.ts(6,14)",  // not a task of this payload
		"disagrees.ts(8,34)",  // a text for a number
		"disagrees.ts(9,32)",  // email is missing
		"disagrees.ts(10,57)", // one field more
		"disagrees.ts(11,26)", // of an empty payload, too
		"disagrees.ts(12,41)", // no payload
		"disagrees.ts(14,86)", // no such field, in a list of tasks
		"disagrees.ts(15,51)", // of what addJobs takes
	}
	eachCompiler(t, func(t *testing.T, compile func(map[string]string) []string) {
		var got []string
		for _, line := range compile(map[string]string{"payloads.d.ts": payloads, "agrees.ts": agrees, "disagrees.ts": disagrees}) {
			t.Log(line)
			if place, _, is := strings.Cut(line, ": error TS"); is { // not more about the one before
				got = append(got, place)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what tsc finds wrong: -want +got\n%s", diff)
		}
	})
}

// What encoding/json writes is of the type that is generated, and nothing else is: with
// any of its values replaced by what JSON cannot be, or one more, it is not.
func TestAgreement(t *testing.T) {
	t.Parallel()
	all := samples(t)
	var agrees, disagrees strings.Builder
	constants := 0
	for _, s := range all {
		constant := func(file *strings.Builder, comment, value string) {
			constants++
			fmt.Fprintf(file, "%s\nexport const v%d: GraphileWorker.Tasks[%s] = %s;\n", comment, constants, quote(s.task.Identifier()), value)
		}
		for _, payload := range s.payloads {
			constant(&agrees, "", payload)
			if strings.HasPrefix(s.task.Identifier(), "any") {
				continue
			}
			for _, wrong := range mutants(payload) {
				constant(&disagrees, "// @ts-expect-error", wrong)
			}
		}
	}
	if constants < 500 {
		t.Errorf("only %d constants", constants)
	}
	// The names of other types of these names are graphile-worker's.
	const others = "import \"graphile-worker\";\n"
	files := map[string]string{"payloads.d.ts": write(t, tasksOf(all)...), "agrees.ts": others + agrees.String(), "disagrees.ts": others + disagrees.String()}
	eachCompiler(t, func(t *testing.T, compile func(map[string]string) []string) {
		said := compile(files)
		for _, line := range said[:min(len(said), 20)] {
			t.Error(line)
		}
	})
}

// mutants are JavaScript for a JSON value that is wrong in one place each.
func mutants(payload string) []string {
	const wrong = "Symbol()"
	all := []string{wrong}
	switch payload[0] {
	case '{':
		members := map[string]json.RawMessage{}
		parse(payload, &members)
		with := func(key, value string) string {
			texts := []string{quote(key) + ":" + value}
			for other, member := range members {
				if other != key {
					texts = append(texts, quote(other)+":"+string(member))
				}
			}
			slices.Sort(texts)
			return "{" + strings.Join(texts, ",") + "}"
		}
		all = append(all, with("one more", wrong))
		for key, member := range members {
			if strings.HasPrefix(strings.ToLower(key), "any") || key == "Reader" {
				continue
			}
			for _, mutant := range mutants(string(member)) {
				all = append(all, with(key, mutant))
			}
		}
	case '[':
		elements := []json.RawMessage{}
		parse(payload, &elements)
		with := func(i int, value string) string {
			texts := []string{}
			for _, element := range elements {
				texts = append(texts, string(element))
			}
			return "[" + strings.Join(slices.Replace(append(texts, ""), i, i+1, value), ",") + "]"
		}
		all = append(all, with(len(elements), wrong))
		for i, element := range elements {
			for _, mutant := range mutants(string(element)) {
				all = append(all, with(i, mutant))
			}
		}
	}
	return all
}

func parse(text string, into any) {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		panic(err)
	}
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}
