// usage: node rxjs.js RUNS FOLDER
//
// FOLDER has RxJS in its node_modules: a copy of this package's manifest and lock file, after `npm ci`.
//
// Does with RxJS what level 4's operators do, and prints one JSON object:
//   { version, runs, figures: { name: [one figure for each run] } }
// CPU time in nanoseconds for an item or a call. The names are those of the works of level4/bench/benches/level4. Each
// run is a process of its own, started by this script.
'use strict';

const { execFileSync } = require('child_process');
const { createRequire } = require('module');
const path = require('path');

const [, , argument, folder] = process.argv;

function load() {
  try {
    return createRequire(path.resolve(folder, 'package.json'))('rxjs');
  } catch {
    console.error(`RxJS is not installed in ${folder}: see grader/bench/README.md`);
    process.exit(1);
  }
}

const rx = load();
const HOUR = 3600 * 1000;
const SIZE = 100;
const MANY = 100;
const PAGE = 20;
const LIST = 100;

function parent(runs) {
  const figures = {};
  for (let run = 0; run < runs; run++) {
    const out = execFileSync(process.execPath, [__filename, 'once', folder], { encoding: 'utf8' });
    for (const [name, figure] of Object.entries(JSON.parse(out))) (figures[name] ??= []).push(figure);
  }
  console.log(JSON.stringify({ version: process.version, runs, figures }));
}

const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) * 1000; };

// Nanoseconds of CPU time for one of `times`.
async function each(times, work) {
  await work(Math.ceil(times / 5));
  const before = cpu();
  await work(times);
  return (cpu() - before) / times;
}

// What the works put their results into, so that none is left out by the compiler.
let sink = 0;
const take = (value) => { sink ^= typeof value === 'number' ? value : value.length; };
const later = async () => { await null; return 1; };
const done = (observable) => new Promise((resolve, reject) =>
  observable.subscribe({ next: take, error: reject, complete: resolve }));

// The notions of RxJS by themselves.
const notions = {
  'Subject': [1e6, (n) => {
    const events = new rx.Subject();
    events.subscribe(take);
    for (let event = 0; event < n; event++) events.next(event);
  }],

  'BehaviorSubject': [1e6, (n) => {
    const state = new rx.BehaviorSubject(0);
    state.subscribe(take);
    for (let change = 0; change < n; change++) state.next(state.value + 1);
  }],

  'shareReplay(1)': [2e5, async (n) => {
    for (let run = 0; run < n / MANY; run++) {
      const shared = rx.defer(() => rx.from(later())).pipe(rx.shareReplay(1));
      const callers = [];
      for (let caller = 0; caller < MANY; caller++) callers.push(done(shared));
      await Promise.all(callers);
    }
  }],

  'switchMap': [5e5, (n) => { rx.range(0, n).pipe(rx.switchMap(() => rx.NEVER)).subscribe(take); }],

  // In hundreds: it keeps what waits in an array, whose first element costs the more to take the longer it is.
  'mergeMap(f, 10)': [2e5, async (n) => {
    for (let batch = 0; batch < n / MANY; batch++) {
      await done(rx.range(0, MANY).pipe(rx.mergeMap(() => rx.from(later()), 10)));
    }
  }],

  'concatMap': [5e5, (n) => done(rx.range(0, n).pipe(rx.concatMap((item) => rx.of(item))))],

  'exhaustMap': [5e5, (n) => done(rx.range(0, n).pipe(rx.exhaustMap((item) => rx.of(item))))],

  'takeUntil': [1e6, (n) => done(rx.range(0, n).pipe(rx.takeUntil(rx.NEVER)))],

  'bufferCount(100)': [1e6, (n) => done(rx.range(0, n).pipe(rx.bufferCount(SIZE)))],

  'groupBy': [5e5, (n) => done(rx.range(0, n).pipe(
    rx.groupBy((amount) => amount % MANY), rx.mergeMap((user) => user.pipe(rx.reduce((sum, it) => sum + it, 0)))))],
};

const works = {
  'chunk': [1e6, (n) => done(rx.range(0, n).pipe(rx.bufferTime(HOUR, null, SIZE)))],

  'debounce': [1e6, (n) => done(rx.range(0, n).pipe(rx.debounceTime(HOUR)))],

  'resubscribe, an item': [1e6, (n) => done(rx.range(0, n).pipe(rx.retry({ count: 3, resetOnSuccess: true })))],

  'resubscribe, a failure': [2e5, (n) => {
    const source = rx.defer(() => rx.concat(rx.of(1), rx.throwError(() => 'reset')));
    // Not from inside of the failing one: a million subscriptions would lie on the stack.
    return done(source.pipe(rx.retry({ delay: () => rx.of(0, rx.asapScheduler) }), rx.take(n)));
  }],

  'events, the oldest goes': [1e6, (n) => {
    const events = new rx.Subject();
    events.subscribe(take);
    for (let event = 0; event < n; event++) events.next(event);
  }],

  'events, ten readers': [5e5, (n) => {
    const events = new rx.Subject();
    for (let reader = 0; reader < 10; reader++) events.subscribe(take);
    for (let event = 0; event < n; event++) events.next(event);
  }],

  'timer, a tick': [2e5, (n) => {
    const clock = new rx.VirtualTimeScheduler();
    rx.timer(1, 1, clock).pipe(rx.take(n)).subscribe(take);
    clock.flush();
  }],

  'limiter, an operation of a batch': [2e5, async (n) => {
    for (let batch = 0; batch < n / MANY; batch++) {
      const ops = rx.range(0, MANY).pipe(
        rx.mergeMap((place) => rx.from(later()).pipe(
          rx.map((value) => [place, value]), rx.catchError((error) => rx.of([place, error]))), 10),
        rx.toArray());
      const results = await rx.firstValueFrom(ops);
      take(results.sort((one, other) => one[0] - other[0]));
    }
  }],

  'cancel, a limit of time': [2e5, (n) => {
    for (let call = 0; call < n; call++) rx.of(1).pipe(rx.timeout(HOUR)).subscribe(take);
  }],

  'cancel, a token': [5e5, (n) => {
    const stop = new rx.Subject();
    for (let call = 0; call < n; call++) rx.of(1).pipe(rx.takeUntil(stop)).subscribe(take);
  }],

  'recovery, a call that succeeds': [5e5, (n) => {
    const call = rx.defer(() => rx.of(1)).pipe(rx.retry(2), rx.catchError(() => rx.of(0)));
    for (let times = 0; times < n; times++) call.subscribe(take);
  }],

  'compose, a step': [2e5, async (n) => {
    for (let batch = 0; batch < n / MANY; batch++) {
      let value = rx.of(0);
      for (let step = 0; step < MANY; step++) value = value.pipe(rx.concatMap((it) => rx.of(it + 1)));
      await done(value);
    }
  }],

  'compose, a selected operation': [2e5, async (n) => {
    for (let batch = 0; batch < n / MANY; batch++) {
      await done(rx.range(0, MANY).pipe(rx.mergeMap((place) => rx.from(later()).pipe(rx.map((it) => it + place)), 10)));
    }
  }],

  'compose, the first of ten': [2e4, async (n) => {
    const last = async (place) => { await null; if (place < 9) throw place; return place; };
    for (let call = 0; call < n; call++) {
      const ops = Array.from({ length: 10 }, (_, place) => rx.from(last(place)).pipe(rx.catchError(() => rx.EMPTY)));
      await done(rx.merge(...ops).pipe(rx.take(1)));
    }
  }],

  'compose, a quorum of three of five': [5e4, async (n) => {
    for (let call = 0; call < n; call++) {
      const ops = Array.from({ length: 5 }, () => rx.from(later()));
      await done(rx.merge(...ops).pipe(rx.take(3), rx.toArray()));
    }
  }],

  'cache, a hit': [1e6, (n) => {
    const cache = new Map();
    for (let key = 0; key < 1000; key++) cache.set(key, { value: rx.of(key).pipe(rx.shareReplay(1)), at: Date.now() });
    let key = 0;
    for (let call = 0; call < n; call++) {
      key = (key + 7919) % 1000;
      const entry = cache.get(key);
      if (Date.now() - entry.at < HOUR) entry.value.subscribe(take);
    }
  }],

  'single flight, a caller of a hundred': [2e5, async (n) => {
    for (let run = 0; run < n / MANY; run++) {
      const shared = rx.defer(() => rx.from(later())).pipe(rx.share());
      const callers = [];
      for (let caller = 0; caller < MANY; caller++) callers.push(done(shared));
      await Promise.all(callers);
    }
  }],

  'state store, a change and its reader': [1e6, (n) => {
    const state = new rx.BehaviorSubject({ count: 0, other: 0 });
    state.pipe(rx.map((it) => it.count), rx.distinctUntilChanged()).subscribe(take);
    for (let change = 0; change < n; change++) state.next({ ...state.value, count: state.value.count + 1 });
  }],

  'paging, an item': [1e6, (n) => {
    const scroll = new rx.Subject();
    const shown = new rx.BehaviorSubject([]);
    let at = 0;
    const load = () => {
      const items = Array.from({ length: PAGE }, (_, item) => at + item);
      at += PAGE;
      return rx.of(items);
    };
    scroll.pipe(rx.concatMap(load), rx.scan((window, page) => [...window, ...page].slice(-SIZE), [])).subscribe(shown);
    for (let page = 0; page < n / PAGE; page++) scroll.next();
    take(shown.value);
  }],

  'socket, a message': [5e5, (n) => {
    const frames = new rx.Subject();
    frames.pipe(rx.map((text) => JSON.parse(text)), rx.map((message) => message.n)).subscribe(take);
    for (let number = 0; number < n; number++) frames.next(`{"n":${number}}`);
  }],

  'realtime, an update': [1e5, (n) => {
    const frames = new rx.Subject();
    const shown = new rx.BehaviorSubject([]);
    const list = Array.from({ length: LIST }, (_, id) => ({ id, total: 0 }));
    const apply = (items, { change: { update: { key, patch } } }) =>
      items.map((item) => (item.id === key ? { ...item, total: patch } : item));
    frames.pipe(rx.map((text) => JSON.parse(text)), rx.filter((it) => it.topic === 'orders'), rx.scan(apply, list))
      .subscribe(shown);
    for (let version = 1; version <= n; version++) {
      const [key, patch] = [version % LIST, version * 7];
      frames.next(`{"topic":"orders","version":${version},"change":{"update":{"key":${key},"patch":${patch}}}}`);
    }
    take(shown.value);
  }],
};

async function once() {
  const figures = {};
  for (const [name, [times, work]] of Object.entries({ ...notions, ...works })) figures[name] = await each(times, work);
  if (Number.isNaN(sink)) console.error(sink);
  console.log(JSON.stringify(figures));
  // Timers of an hour are left.
  process.exit(0);
}

if (argument === 'once') once(); else parent(Number(argument));
