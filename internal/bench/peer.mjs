// Does pieces of work with graphile-worker and measures how long they take, so that
// the pipe does not count. Requests come on stdin, one a line; see upstream.Process.
import { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import pg from "pg";

const [version] = process.argv.slice(1);
const { Logger, makeWorkerUtils, run } = await import(
  `graphile-worker-${version}`
);
const logger = new Logger(() => () => {});

// One pool of each size, all of its connections open.
const made = new Map();
function utilsOf(schema, conns, timeout = 0) {
  const key = JSON.stringify([schema, conns, timeout]);
  if (!made.has(key)) made.set(key, makeUtils(schema, conns, timeout));
  return made.get(key);
}
async function makeUtils(schema, conns, timeout) {
  const pool = new pg.Pool({
    max: conns,
    idleTimeoutMillis: 0,
    ...(timeout ? { statement_timeout: timeout } : {}),
  });
  pool.on("error", () => {});
  const clients = await Promise.all(
    Array.from({ length: conns }, () => pool.connect()),
  );
  clients.forEach((client) => client.release());
  return { pool, utils: await makeWorkerUtils({ schema, pgPool: pool, logger }) };
}

async function timed(work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start);
}

// Runs the work in a transaction that is rolled back; a pool of one connection makes
// everything part of it.
async function undone(pool, work) {
  await pool.query("begin");
  try {
    return await work();
  } finally {
    await pool.query("rollback");
  }
}

let added = 0;
const specs = {
  none: () => ({}),
  key: () => ({ jobKey: `js-${process.pid}-${++added}` }),
  queue: () => ({ queueName: `queue_${1 + (++added % 100)}` }),
};
const payloadOf = (n) => ({ n, text: "a short text that stands for a payload" });

const calls = {
  async addJob({ schema, conns, inFlight = conns, n, kind }) {
    const { utils } = await utilsOf(schema, conns);
    const spec = specs[kind];
    let left = n;
    const loop = async () => {
      while (left-- > 0) await utils.addJob("task_1", payloadOf(left), spec());
    };
    return timed(() => Promise.all(Array.from({ length: inFlight }, loop)));
  },

  async addJobs({ schema, n, jobs, types }) {
    const { utils } = await utilsOf(schema, 1);
    const batch = Array.from({ length: jobs }, (_, i) => ({
      identifier: `task_${1 + (i % types)}`,
      payload: payloadOf(i),
    }));
    return timed(async () => {
      for (let i = 0; i < n; i++) await utils.addJobs(batch);
    });
  },

  // Calls a method once for each batch of ids.
  async change({ schema, method, args, batches, undo }) {
    const { pool, utils } = await utilsOf(schema, 1);
    const rest = args.map((arg) =>
      arg?.runAt ? { ...arg, runAt: new Date(arg.runAt) } : arg,
    );
    const work = () =>
      timed(async () => {
        for (const ids of batches) await utils[method](ids, ...rest);
      });
    return undo ? undone(pool, work) : work();
  },

  async cleanup({ schema, task, n, timeout }) {
    const { pool, utils } = await utilsOf(schema, 1, timeout);
    let took = 0;
    for (let i = 0; i < n; i++) {
      took += await undone(pool, () =>
        timed(() => utils.cleanup({ tasks: [task] })),
      );
    }
    return took;
  },

  // Runs a worker until it has fetched a number of jobs and, after that, until it
  // is told to stop; see stopFetching.
  async fetch({ schema, task, jobs }) {
    const { pool } = await utilsOf(schema, 4);
    const events = new EventEmitter();
    const times = [];
    let start;
    const enough = new Promise((resolve) => {
      events.on("worker:getJob:start", () => (start = process.hrtime.bigint()));
      events.on("job:start", () => {
        times.push(Number(process.hrtime.bigint() - start));
        if (times.length === jobs) resolve();
      });
    });
    const runner = await run({
      schema,
      pgPool: pool,
      concurrency: 1,
      pollInterval: 50,
      events,
      logger,
      noHandleSignals: true,
      parsedCronItems: [],
      taskList: { [task]: () => {} },
    });
    await Promise.race([enough, runner.promise]);
    fetching = { runner, times, from: times.length };
  },
  // Returns how long fetching each job took since fetch returned.
  async stopFetching() {
    await fetching.runner.stop();
    return fetching.times.slice(fetching.from);
  },

  async pid({ schema }) {
    const { pool } = await utilsOf(schema, 1);
    return (await pool.query("select pg_backend_pid() as pid")).rows[0].pid;
  },
};
let fetching;

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, method, args } = JSON.parse(line);
    try {
      say({ id, result: await calls[method](...args) });
    } catch (error) {
      say({ id, error: { message: String(error?.message ?? error), code: error?.code } });
    }
  })
  .on("close", () => process.exit(0));
