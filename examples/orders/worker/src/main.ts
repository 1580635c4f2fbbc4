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

const runner = await run({ connectionString: process.env.DATABASE_URL, concurrency: 8, parsedCronItems: [], taskList });

// The Go program holds standard input open for as long as it lives.
if (process.argv.includes("--until-stdin-ends")) {
  process.stdin.once("end", () => runner.stop()).resume();
}
await runner.promise;
process.stdin.destroy();
