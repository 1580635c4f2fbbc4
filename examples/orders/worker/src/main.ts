// Runs the jobs of the database that DATABASE_URL names, until a signal.
import { run, type Task } from "graphile-worker";
import { chargeOrder } from "./charge_order.js";
import { countView } from "./count_view.js";
import { sendReceipt } from "./send_receipt.js";

// Does not compile unless there is each task that Go declares.
const taskList: { [Name in keyof GraphileWorker.Tasks]: Task<Name> } = {
  charge_order: chargeOrder,
  count_view: countView,
  send_receipt: sendReceipt,
};

// The Go program holds standard input open for as long as it lives. Ctrl-C in its
// terminal reaches this process, too, which must not stop twice at a time.
const untilStdinEnds = process.argv.includes("--until-stdin-ends");
if (untilStdinEnds) {
  for (const signal of ["SIGINT", "SIGHUP"]) process.on(signal, () => {});
}

const runner = await run({
  preset: {
    worker: {
      connectionString: process.env.DATABASE_URL,
      concurrentJobs: 8,
      // Without these, a worker that stops may leave jobs locked that have just ended.
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
  noHandleSignals: untilStdinEnds,
  parsedCronItems: [],
  taskList,
});
if (untilStdinEnds) process.stdin.once("end", () => runner.stop()).resume();
await runner.promise;
process.stdin.destroy();
