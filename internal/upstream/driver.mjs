// Runs one release of graphile-worker for the tests in Go: a request a line on
// stdin, an answer or an event a line on stdout. It ends when stdin does.
import { Console } from "node:console";
import { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

globalThis.console = new Console(process.stderr);

const [version, schema] = process.argv.slice(1);
const { Logger, makeWorkerUtils, parseCrontab, run } = await import(
  `graphile-worker-${version}`
);

// JSON has no infinity, which is how pg reads an infinite timestamp.
const infinite = (_, value) =>
  value === Infinity ? "infinity" : value === -Infinity ? "-infinity" : value;
const say = (message) =>
  process.stdout.write(JSON.stringify(message, infinite) + "\n");

const asError = (error) => ({
  message: String(error?.message ?? error),
  code: error?.code,
});
const asJob = ({ id, task_identifier, payload, attempts, locked_by }) => ({
  id,
  task: task_identifier,
  payload,
  attempts,
  lockedBy: locked_by,
});

// Worker 0 stands for what no worker logged.
const log = (worker, level, message) =>
  say({ event: "log", worker, log: { level, message: String(message) } });
const loggerFor = (worker) =>
  new Logger(() => (level, message) => {
    if (level === "error" || level === "warning") log(worker, level, message);
  });
process.on("unhandledRejection", (error) =>
  log(0, "error", error?.stack ?? error),
);

let made;
function utils() {
  made ??= makeWorkerUtils({ schema, logger: loggerFor(0) }).catch((error) => {
    made = undefined; // the next call may find the database in a better state
    throw error;
  });
  return made;
}
const util =
  (name) =>
  async (...args) => {
    const methods = await utils();
    if (!methods[name]) {
      throw new Error(`graphile-worker ${version} has no ${name}`);
    }
    return methods[name](...args);
  };

// addJob and addJobs want a Date, of which they only ask for its text.
const withRunAt = (spec) =>
  spec?.runAt
    ? { ...spec, runAt: { toISOString: () => spec.runAt } }
    : (spec ?? undefined);

// Resolves once the outcome of a job that ran is in the database: since 0.17 a
// worker says that a job is complete before it has written so.
const pool = new pg.Pool({ max: 1 }).on("error", console.error);
const jobs = `"${schema.replaceAll('"', '""')}"._private_jobs`;
const unsettled = `select from ${jobs} where id = $1 and attempts = $2 and locked_at is not null`;
async function settled({ id, attempts }) {
  for (let tries = 0; tries < 500; tries++) {
    const { rowCount } = await pool.query(unsettled, [id, attempts]);
    if (rowCount === 0) return;
    await sleep(10);
  }
}

const workers = new Map();

async function startWorker({
  worker,
  tasks,
  concurrency,
  pollInterval,
  localQueue,
  sweep,
  forbidden,
}) {
  const held = new Map();
  const settling = [];
  const events = new EventEmitter();

  // The event comes just before the worker sends its LISTEN; a query behind it
  // on the same connection ends after it.
  const listening = new Promise((resolve) => {
    events.once("pool:listen:success", ({ client }) =>
      queueMicrotask(() => client.query("select").then(resolve, resolve)),
    );
  });
  events.on("job:complete", ({ job, error }) => {
    const finished = { ...asJob(job), error: error?.message };
    settling.push(
      settled(job)
        .catch(console.error)
        .then(() => say({ event: "finished", worker, job: finished })),
    );
  });

  const task = async (payload, { job }) => {
    const released = new Promise((resolve) => held.set(job.id, resolve));
    try {
      say({ event: "started", worker, job: asJob(job) });
      if (payload?.sleepMs) await sleep(payload.sleepMs);
      if (payload?.holdUntilReleased) await released;
      if (payload?.fail !== undefined) throw new Error(payload.fail);
    } finally {
      held.delete(job.id);
    }
  };

  const runner = await run({
    schema,
    concurrency,
    pollInterval,
    events,
    logger: loggerFor(worker),
    noHandleSignals: true,
    parsedCronItems: [],
    ...(sweep
      ? { minResetLockedInterval: sweep, maxResetLockedInterval: sweep }
      : {}),
    ...(forbidden ? { forbiddenFlags: forbidden } : {}),
    ...(localQueue
      ? { preset: { worker: { localQueue: { size: localQueue } } } }
      : {}),
    taskList: Object.fromEntries(tasks.map((name) => [name, task])),
  });
  workers.set(worker, { runner, held });
  const stopped = async (error) => {
    await Promise.all(settling);
    say({ event: "stopped", worker, error });
  };
  runner.promise.then(
    () => stopped(),
    (error) => stopped(asError(error)),
  );
  await Promise.race([listening, runner.promise]);
}

const calls = {
  ready: () => {},
  addJob: (identifier, payload, spec) =>
    util("addJob")(identifier, payload, withRunAt(spec)),
  addJobs: (specs, preserveRunAt) =>
    util("addJobs")(specs.map(withRunAt), preserveRunAt),
  completeJobs: util("completeJobs"),
  permanentlyFailJobs: util("permanentlyFailJobs"),
  rescheduleJobs: util("rescheduleJobs"),
  forceUnlockWorkers: util("forceUnlockWorkers"),
  cleanup: util("cleanup"),
  migrate: util("migrate"),

  // Each text is one crontab: its items, and whether each runs in the given minutes.
  parseCrontabs: (texts, minutes) =>
    texts.map((text) => {
      try {
        return {
          items: parseCrontab(text).map(({ match, ...item }) => ({
            ...item,
            payload: JSON.stringify(item.payload),
            matches: minutes.map((digest) => match(digest)),
          })),
        };
      } catch (error) {
        return { error: String(error?.message ?? error) };
      }
    }),
  startWorker,
  stopWorker: (worker) => workers.get(worker).runner.stop(),
  release: (worker, job) => {
    const release = workers.get(worker).held.get(job);
    if (!release) throw new Error(`job ${job} is not running`);
    release();
  },
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, method, args } = JSON.parse(line);
    try {
      if (!Object.hasOwn(calls, method)) {
        throw new Error(`unknown method ${method}`);
      }
      say({ id, result: await calls[method](...args) });
    } catch (error) {
      say({ id, error: asError(error) });
    }
  })
  .on("close", () => process.exit(0));
