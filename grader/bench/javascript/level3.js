// usage: node --expose-gc level3.js ASSIGNMENT.md
//
// Measures the assignment's payment gateway and prints one JSON object:
//   { version, runs, figures: { name: [one figure for each run] } }
// CPU time in nanoseconds, memory in bytes. The assignment's code is unpacked into a temporary folder and removed
// again; nothing of it is kept. Each run is a process of its own, started by this script.
'use strict';

const { execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const RUNS = 5;
const FILE = 'level3/payment-gateway.js';

// A file of the lesson is announced by a line `**File: `NAME`**`; its text is the next fenced block.
function unpack(lesson, name) {
  const lines = fs.readFileSync(lesson, 'utf8').split(/\r?\n/);
  const heading = lines.findIndex((line) => /^(?:#+\s*)?\*\*File:\s*`/.test(line) && line.includes(`\`${name}\``));
  if (heading < 0) throw new Error(`${lesson} has no file ${name}`);
  const open = lines.findIndex((line, at) => at > heading && /^```\w/.test(line));
  const close = lines.findIndex((line, at) => at > open && /^```\s*$/.test(line));
  if (open < 0 || close < 0) throw new Error(`${name} has no code in ${lesson}`);
  return lines.slice(open + 1, close).join('\n');
}

function parent(lesson) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lesson-'));
  try {
    const file = path.join(folder, 'gateway.js');
    fs.writeFileSync(file, unpack(lesson, FILE));
    const figures = {};
    for (let run = 0; run < RUNS; run++) {
      for (const part of ['parts', 'payment', 'memory']) {
        const out = execFileSync(process.execPath, ['--expose-gc', __filename, file, part], { encoding: 'utf8' });
        for (const [name, figure] of Object.entries(JSON.parse(out))) (figures[name] ??= []).push(figure);
      }
    }
    console.log(JSON.stringify({ version: process.version, runs: RUNS, figures }));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) * 1000; };
const turn = () => new Promise((resolve) => setImmediate(resolve));

// Nanoseconds of CPU time for one of `times`.
async function each(times, work) {
  await work(Math.ceil(times / 10));
  const before = cpu();
  await work(times);
  return (cpu() - before) / times;
}

// Each figure includes the await of an async function that succeeds at once, as the Rust ones do.
async function parts(lesson) {
  const op = async () => 1;
  const closed = new lesson.CircuitBreaker();
  const open = new lesson.CircuitBreaker({ timeout: 1e9 });
  open.state = 'OPEN';
  open.nextAttempt = Date.now() + 1e9;
  const limiter = (live) => {
    const it = new lesson.RateLimiter(live + 1, 1e9);
    const now = Date.now();
    it.requests = Array.from({ length: live }, () => now);
    // What was let in is taken out again, so that the window keeps its length.
    return async (times) => { for (let i = 0; i < times; i++) { await it.acquire(); it.requests.pop(); } };
  };
  return {
    breaker: await each(1e6, async (times) => { for (let i = 0; i < times; i++) await closed.execute(op); }),
    'open breaker': await each(1e5, async (times) => {
      for (let i = 0; i < times; i++) try { await open.execute(op); } catch { /* refused, as it should be */ }
    }),
    retry: await each(1e6, async (times) => { for (let i = 0; i < times; i++) await lesson.retry(op); }),
    'limiter, 100 live': await each(1e5, limiter(99)),
    'limiter, 1 000 000 live': await each(20, limiter(999999)),
  };
}

function services(confirm) {
  let made = 0;
  return {
    stripeAPI: {
      createPaymentIntent: async (amount) => ({ id: 'pi_' + (++made), amount, status: 'requires_confirmation' }),
      confirmPaymentIntent: confirm,
      refundPayment: async () => ({}),
    },
    fraudService: { checkFraud: async () => ({ approved: true, riskScore: '1.00', reasons: [] }) },
    database: { saveTransaction: async () => ({ id: 'txn_' + made, success: true }), updateTransactionStatus: async () => ({}) },
    emailService: { sendReceipt: async () => ({ success: true }) },
  };
}

// One payment after another. The event loop gets a turn now and then, and at the end every timer has fired:
// the code leaves its timers armed, and they are part of what it costs.
async function payment(lesson) {
  const all = { ...services(async (id) => ({ id, status: 'succeeded', charges: { data: [{ id: 'ch_1', paid: true }] } })), deadLetterQueue: new lesson.DeadLetterQueue() };
  const pay = (i) => new lesson.PaymentSaga(`order_${i}`, 10000, 'u@example.com', all).execute();
  for (let i = 0; i < 2000; i++) await pay(i);
  const count = 100000;
  const before = cpu();
  for (let i = 0; i < count; i++) {
    await pay(i);
    if (i % 200 === 199) await turn();
  }
  await new Promise((resolve) => setTimeout(resolve, 11000));   // the longest timer is 10 s
  return { payment: (cpu() - before) / count };
}

// 100 000 payments that wait for their charge. Timers are 1000 times as long, so that none fires meanwhile.
async function memory(lesson) {
  const real = setTimeout;
  global.setTimeout = (callback, ms, ...rest) => real(callback, ms * 1000, ...rest);
  const all = { ...services(() => new Promise(() => {})), deadLetterQueue: new lesson.DeadLetterQueue() };
  gc(); await turn(); gc();
  const count = 100000;
  const before = process.memoryUsage().rss;
  const kept = new Array(count);
  for (let i = 0; i < count; i++) {
    kept[i] = new lesson.PaymentSaga(`order_${i}`, 10000, `u${i}@example.com`, all);
    kept[i].execute().catch(() => {});
    if (i % 2000 === 1999) await turn();
  }
  await turn();
  gc(); await turn(); gc();
  return { 'memory in flight': (process.memoryUsage().rss - before) / kept.length };
}

async function child(file, part) {
  const lesson = require(path.resolve(file));
  for (const name of ['log', 'error', 'warn', 'info', 'time', 'timeEnd']) console[name] = () => {};
  const figures = await { parts, payment, memory }[part](lesson);
  process.stdout.write(JSON.stringify(figures), () => process.exit(0));
}

const [, , given, part] = process.argv;
if (!given) {
  console.error('usage: node --expose-gc level3.js ASSIGNMENT.md');
  process.exitCode = 2;
} else if (part) {
  child(given, part);
} else {
  parent(given);
}
