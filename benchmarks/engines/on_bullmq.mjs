// BullMQ, one worker of concurrency 100: adapter.py and an engine in one, since it is not Python. Same actions, same file.

import fs from 'node:fs';
import { createRequire } from 'node:module';
// The packages are installed in a folder of their own, not beside this file.
const require = createRequire(process.env.BENCH_PACKAGES + '/');
const { Queue, Worker } = require('bullmq');

const { hostname, port, pathname } = new URL(process.env.BENCH_URL);
const connection = { host: hostname, port: Number(port), db: Number(pathname.slice(1)), maxRetriesPerRequest: null };
const tally = fs.openSync(process.env.BENCH_TALLY, 'a');
const payload = 'x'.repeat(1024);
const IN_A_BULK = 1000;
const now = () => Number(process.hrtime.bigint()) / 1e9; // the same steady clock as Python's
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function noop(job) {
  const record = Buffer.alloc(16);
  record.writeDoubleLE(now(), 0);
  record.writeBigInt64LE(BigInt(process.pid), 8);
  fs.writeSync(tally, record);
  if (job.data.payload.startsWith('nap ')) await sleep(Number(job.data.payload.split(' ')[1]));
}

async function pickUps(queue, count, until) {
  const took = [];
  const record = Buffer.alloc(16);
  while (took.length < count && now() < until) {
    const before = fs.fstatSync(tally).size;
    const called = now();
    await queue.add('noop', { payload });
    while (fs.fstatSync(tally).size === before) await sleep(0.001);
    const file = fs.openSync(process.env.BENCH_TALLY, 'r');
    fs.readSync(file, record, 0, 16, before);
    fs.closeSync(file);
    took.push(record.readDoubleLE(0) - called);
    await sleep(0.02 + Math.random() / 100);
  }
  return took;
}

async function act(action, numbers) {
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  const count = Number(numbers[0]);
  if (action === 'nap') return void (await queue.add('noop', { payload: `nap ${count} ${payload}` }));
  if (action === 'pick-up') return pickUps(queue, count, now() + Number(numbers[1]));
  const start = now();
  if (action === 'bulk') {
    for (let left = count; left > 0; left -= IN_A_BULK) {
      const jobs = Array.from({ length: Math.min(left, IN_A_BULK) }, () => ({ name: 'noop', data: { payload } }));
      await queue.addBulk(jobs);
    }
  } else {
    for (let i = 0; i < count; i++) await queue.add('noop', { payload });
  }
  return now() - start;
}

const [action, ...numbers] = process.argv.slice(2);
if (action === 'worker') {
  new Worker('bench', noop, { connection, concurrency: 100 });
} else {
  console.log(JSON.stringify((await act(action, numbers)) ?? null));
  process.exit(0);
}
