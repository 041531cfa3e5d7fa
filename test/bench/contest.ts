import process from 'node:process';
import { Redis } from 'ioredis';
import { parseInfo } from '../../runtime/redis/requirements.ts';
import type { TestRedis } from '../support/redis.ts';
import { median, type Report } from './figure.ts';

/** What a number of messages took. */
export interface Cost {
  readonly perSecond: number;
  /** CPU time of this process for each, in microseconds. */
  readonly nodeUs: number;
  /** CPU time of Redis for each, in microseconds. */
  readonly redisUs: number;
}

/** One way of doing the same work. */
export interface Contender {
  readonly messages: number;
  /** Before each turn, and not measured: as if nothing had been done yet. */
  ready(): Promise<void>;
  turn(): Promise<void>;
  /** After each turn, and not measured. */
  after?(): Promise<void>;
}

export interface Match {
  readonly name: string;
  readonly atLeast: number;
  readonly ours: Contender;
  readonly peer: Contender;
  readonly rounds: number;
  /** What the peer is. */
  readonly against: string;
}

/** Measures turns of this process on a Redis, with a connection of its own. */
export class Meter {
  readonly #redis: Redis;

  constructor({ path }: Pick<TestRedis, 'path'>) {
    this.#redis = new Redis({ path });
  }

  async cost(messages: number, turn: () => Promise<void>): Promise<Cost> {
    const redisBefore = await this.#redisUs();
    const nodeBefore = process.cpuUsage();
    const startedAt = performance.now();
    await turn();
    const ms = performance.now() - startedAt;
    const { user, system } = process.cpuUsage(nodeBefore);
    const redisUs = (await this.#redisUs()) - redisBefore;
    return {
      perSecond: (messages / ms) * 1_000,
      nodeUs: (user + system) / messages,
      redisUs: redisUs / messages,
    };
  }

  ping(): Promise<unknown> {
    return this.#redis.ping();
  }

  async memory(): Promise<number> {
    return Number(parseInfo(await this.#redis.info('memory')).get('used_memory'));
  }

  /** Deletes all keys that begin so, but for those named. */
  async clear(prefix: string, but: readonly string[] = []): Promise<void> {
    const keys = await this.#redis.keys(`${prefix}*`);
    const gone = keys.filter((key) => !but.includes(key));
    for (let at = 0; at < gone.length; at += 1_000) {
      await this.#redis.del(...gone.slice(at, at + 1_000));
    }
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #redisUs(): Promise<number> {
    const info = parseInfo(await this.#redis.info('cpu'));
    return (Number(info.get('used_cpu_user')) + Number(info.get('used_cpu_sys'))) * 1e6;
  }
}

/** In turns, so that what else the machine does hits both alike: by CPU time of both processes, and by the clock. */
export async function contest(report: Report, meter: Meter, match: Match): Promise<void> {
  const { ours, peer, rounds, name, atLeast, against } = match;
  const costs: { ours: Cost; peer: Cost }[] = [];
  const cost = async (contender: Contender) => {
    await contender.ready();
    const measured = await meter.cost(contender.messages, () => contender.turn());
    await contender.after?.();
    return measured;
  };
  // The first round warms up.
  for (let round = report.quick ? 1 : 0; round <= rounds; round++) {
    // Turned round, so that nobody always comes after the same one.
    const both =
      round % 2 === 0
        ? { ours: await cost(ours), peer: await cost(peer) }
        : { peer: await cost(peer), ours: await cost(ours) };
    if (round > 0) costs.push(both);
  }
  const of = (who: 'ours' | 'peer', value: (cost: Cost) => number) =>
    median(costs.map((round) => value(round[who])));
  const us = (who: 'ours' | 'peer') =>
    `${of(who, ({ nodeUs }) => nodeUs).toFixed(1)} + ${of(who, ({ redisUs }) => redisUs).toFixed(1)}`;
  const speed = (who: 'ours' | 'peer') => of(who, ({ perSecond }) => perSecond).toFixed(0);
  report.figure({
    name: `${name}, by CPU time`,
    measured: median(costs.map((round) => totalUs(round.peer) / totalUs(round.ours))),
    unit: 'x',
    goal: { atLeast },
    beside: `${us('ours')} us of Node + Redis, against ${us('peer')} of ${against}`,
  });
  report.figure({
    name: `${name}, by the clock`,
    measured: median(costs.map((round) => round.ours.perSecond / round.peer.perSecond)),
    unit: 'x',
    goal: { atLeast },
    beside: `${speed('ours')} messages/s, against ${speed('peer')}`,
  });
}

function totalUs({ nodeUs, redisUs }: Cost): number {
  return nodeUs + redisUs;
}

/** Does it so often, so many at a time. */
export async function inFlight(
  count: number,
  places: number,
  once: () => Promise<unknown>,
): Promise<void> {
  let left = count;
  const place = async () => {
    while (left-- > 0) await once();
  };
  await Promise.all(Array.from({ length: places }, place));
}
