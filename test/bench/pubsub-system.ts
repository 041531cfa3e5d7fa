import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ask } from '../support/load.ts';
import { until } from '../support/until.ts';
import { BenchSystem } from './bench-system.ts';
import { median, type Report } from './figure.ts';
import type { LoadAnswer, LoadOrder } from './load-client.ts';
import { cpuMs, Helper } from './processes.ts';
import { dataOf } from './pubsub-side.ts';

const services = `import { Service } from 'hence';
import { appendFileSync } from 'node:fs';

export class Reply extends Service<{ data: { text: string } }> {
  handle() {
    return { status: 1, length: this.request.input.data.text.length };
  }
}

export class Pass extends Service {
  async handle() {
    return await this.publish('bench.hang', { order: 1 });
  }
}

/** Never ends the first time. */
export class Hang extends Service {
  async handle() {
    const { deliveryCount } = this.request.message;
    appendFileSync('calls', JSON.stringify({ deliveryCount, pid: process.pid, at: Date.now() }) + '\\n');
    if (deliveryCount === 1) await new Promise(() => {});
  }
}

export class Sink extends Service {
  handle() {}
}
`;

const password = 'bench-password-1';
const authorization = `Basic ${Buffer.from(`bench:${password}`).toString('base64')}`;
const body = JSON.stringify({ data: dataOf(200) });

/** What only the whole system can tell. */
export async function measureSystem(report: Report): Promise<void> {
  await measureRest(report);
  await measureRedelivery(report);
  await measureMany(report);
}

const restYaml = `channels:
  reply: { path: /reply, service: bench.reply }
security:
  bench: { username: bench, password: ${password} }
topics:
  bench.rest: {}
permissions:
  bench: { security: bench, publish: [bench.rest], subscribe: [bench.rest] }
subscriptions:
  reader: { topics: [bench.rest], security: bench, maxDepth: 10000000 }
`;

interface Sample {
  /** CPU time of the worker for each request, in microseconds. */
  readonly cpuUs: number;
  readonly perSecond: number;
}

/** A request that publishes, against one that calls a service of the same worker. */
async function measureRest(report: Report): Promise<void> {
  const system = await BenchSystem.start({
    services: { 'bench.ts': services },
    yaml: restYaml,
    workers: 1,
    args: ['--log-level', 'info'],
  });
  const { helper: client } = await Helper.start<LoadOrder, LoadAnswer, string>('./load-client.js');
  try {
    const [worker] = await system.serving();
    const [rounds, ms] = report.quick ? [1, 200] : [9, 1_200];
    const order = { port: system.port, body, connections: 48, ms };
    const rest: LoadOrder = {
      ...order,
      paths: ['/pubsub/topic/bench.rest'],
      headers: [`Authorization: ${authorization}`],
      expected: ',"status":"200 OK"}',
    };
    const plain = { ...order, paths: ['/reply'], expected: '{"status":1,"length":189}' };
    const sample = async (what: LoadOrder): Promise<Sample> => {
      const before = cpuMs(worker?.pid ?? 0);
      const answer = await client.ask(what);
      if (answer.failed > 0)
        report.error(`${answer.failed} failed: ${answer.examples.join(' | ')}`);
      const usedMs = cpuMs(worker?.pid ?? 0) - before;
      return {
        cpuUs: (usedMs / answer.done) * 1_000,
        perSecond: (answer.done / answer.ms) * 1_000,
      };
    };
    const samples: { rest: Sample; plain: Sample }[] = [];
    for (let round = 0; round <= rounds; round++) {
      const both =
        round % 2 === 0
          ? { rest: await sample(rest), plain: await sample(plain) }
          : { plain: await sample(plain), rest: await sample(rest) };
      // The first round warms up.
      if (round > 0) samples.push(both);
    }
    const of = (who: 'rest' | 'plain', value: keyof Sample) =>
      median(samples.map((one) => one[who][value])).toFixed(0);
    report.figure({
      name: 'REST publish / channel, by CPU time',
      measured: median(samples.map((one) => one.plain.cpuUs / one.rest.cpuUs)),
      unit: 'x',
      goal: { atLeast: 0.6 },
      beside: `${of('rest', 'cpuUs')} us of the worker, against ${of('plain', 'cpuUs')}`,
    });
    report.figure({
      name: 'REST publish / channel, by the clock',
      measured: median(samples.map((one) => one.rest.perSecond / one.plain.perSecond)),
      unit: 'x',
      goal: { atLeast: 0.6 },
      beside: `${of('rest', 'perSecond')} requests/s, against ${of('plain', 'perSecond')}`,
    });
  } finally {
    await client.stop();
    await system.stop();
  }
}

const hangYaml = `channels:
  pass: { path: /pass, service: bench.pass }
subscriptions:
  hang: { topics: [bench.hang], service: bench.hang }
`;

interface HangCall {
  readonly deliveryCount: number;
  readonly pid: number;
  /** Ms since 1970. */
  readonly at: number;
}

/** A worker is killed while it delivers: how long until another has the message. */
async function measureRedelivery(report: Report): Promise<void> {
  const times: number[] = [];
  const system = await BenchSystem.start({
    services: { 'bench.ts': services },
    yaml: hangYaml,
    workers: 2,
  });
  try {
    for (let round = 0; round < (report.quick ? 1 : 5); round++) {
      await appendFile(join(system.dir, 'calls'), '');
      const known = (await callsOf(system)).length;
      const reply = await ask(`${system.url}/pass`);
      if (reply.status !== 200) throw new Error(reply.body);
      const first = await callAt(system, known);
      process.kill(first.pid, 'SIGKILL');
      const killedAt = Date.now();
      const second = await callAt(system, known + 1);
      if (second.deliveryCount !== 2) report.error('A second delivery says that it is the first');
      times.push((second.at - killedAt) / 1_000);
      await until(async () => (await system.serving()).length === 2 || undefined, 15_000);
    }
  } finally {
    await system.stop();
  }
  report.figure({
    name: 'redelivery after a worker was killed, longest',
    measured: Math.max(...times),
    unit: 's',
    goal: { atMost: 8 },
    beside: `median ${median(times).toFixed(1)} s of ${times.length}`,
  });
}

async function callsOf(system: BenchSystem): Promise<readonly HangCall[]> {
  const lines = (await readFile(join(system.dir, 'calls'), 'utf8')).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as HangCall);
}

function callAt(system: BenchSystem, index: number): Promise<HangCall> {
  return until(async () => (await callsOf(system))[index], 30_000);
}

/** Very many topics and subscriptions, and nothing to do. */
async function measureMany(report: Report): Promise<void> {
  const count = report.quick ? 200 : 10_000;
  const startedAt = performance.now();
  const system = await BenchSystem.start({
    services: { 'bench.ts': services },
    yaml: manyYaml(count),
    workers: 2,
  });
  try {
    const startMs = performance.now() - startedAt;
    const redis = new Redis({ path: join(system.dir, '.hence', 'redis', 'redis.sock') });
    const clients =
      String(await redis.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length - 1;
    redis.disconnect();
    const text = count.toLocaleString('en');
    report.figure({
      name: `Redis connections for ${text} subscriptions`,
      measured: clients,
      unit: '',
      goal: { atMost: 100 },
      beside: `2 workers; ready ${(startMs / 1_000).toFixed(1)} s after the start of an empty project`,
    });
    const pids = await pidsOf(system);
    await pause(report.quick ? 200 : 3_000);
    const before = pids.map(cpuMs);
    const idleMs = report.quick ? 1_000 : 15_000;
    await pause(idleMs);
    const used = pids.map((pid, at) => cpuMs(pid) - (before[at] ?? 0));
    report.figure({
      name: `idle CPU with ${text} subscriptions`,
      measured: (used.reduce((sum, ms) => sum + ms, 0) / idleMs) * 100,
      unit: '%',
      goal: { atMost: 5 },
      beside: `of one core, all ${pids.length} processes together, over ${idleMs / 1_000} s`,
    });
  } finally {
    await system.stop();
  }
}

/** Control, workers and Redis. */
async function pidsOf(system: BenchSystem): Promise<readonly number[]> {
  const { workers } = await system.status();
  const redis = Number(await readFile(join(system.dir, '.hence', 'redis', 'redis.pid'), 'utf8'));
  return [system.pid, redis, ...workers.map(({ pid }) => pid)];
}

function manyYaml(count: number): string {
  const lines = ['topics:'];
  for (let at = 0; at < count; at++) lines.push(`  many.${at}: {}`);
  lines.push('subscriptions:');
  for (let at = 0; at < count; at++) {
    lines.push(`  many-${at}: { topics: [many.${at}], service: bench.sink }`);
  }
  return `${lines.join('\n')}\n`;
}
