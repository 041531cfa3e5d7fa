import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { run } from '../redis/script.ts';
import { commitScript, readScript } from './scripts.ts';

/** One definition as Redis has it; `text` is undefined when it is gone. */
export interface Row {
  readonly type: string;
  readonly name: string;
  readonly text: string | undefined;
}

export interface Snapshot {
  /** Undefined when Redis has been emptied. */
  readonly install: string | undefined;
  readonly revision: number;
  readonly rows: readonly Row[];
  /** Types that are stored but that nobody here knows. */
  readonly unknownTypes: readonly string[];
}

export type CommitResult = {
  readonly outcome: 'ok' | 'moved' | 'lost';
  readonly revision: number;
};

export interface RedisDefinitionsOptions {
  readonly redis: Redis;
  readonly types: readonly string[];
  readonly namespace: string;
  readonly deadlineMs: number;
}

/** The definitions' layout in Redis. Every key shares one hash tag, so a cluster has them in one slot. */
export class RedisDefinitions {
  /** Where each new revision is published. */
  readonly channel: string;
  readonly #redis: Redis;
  readonly #types: readonly string[];
  readonly #keys: readonly string[];
  readonly #deadlineMs: number;

  constructor({ redis, types, namespace, deadlineMs }: RedisDefinitionsOptions) {
    const key = (name: string) => `{${namespace}}:${name}`;
    this.channel = key('changed');
    this.#redis = redis;
    this.#types = types;
    this.#deadlineMs = deadlineMs;
    this.#keys = [
      ...['install', 'revision', 'types', 'changes'].map(key),
      ...types.map((type) => key(`definitions:${type}`)),
    ];
  }

  /** The id given to this Redis when it was first used. */
  async install(): Promise<string> {
    const key = this.#keys[0] ?? '';
    const install = await this.#ask(async () => {
      await this.#redis.set(key, randomUUID(), 'NX');
      return await this.#redis.get(key);
    });
    if (install === null) throw new Fault('unavailable', 'Redis does not keep the install id');
    return install;
  }

  /** What changed after this revision; everything when it is undefined. */
  async read(since: number | undefined): Promise<Snapshot> {
    const args = [since ?? '', ...this.#types];
    const reply = await this.#ask(() => run(this.#redis, readScript, this.#keys, args));
    const [install, revision, ...flat] = Array.isArray(reply) ? reply : [];
    const rows: Row[] = [];
    const unknownTypes: string[] = [];
    for (let at = 0; at + 2 < flat.length; at += 3) {
      const [type, name, text] = [String(flat[at]), String(flat[at + 1]), flat[at + 2]];
      if (this.#types.includes(type)) {
        rows.push({ type, name, text: typeof text === 'string' ? text : undefined });
      } else unknownTypes.push(type);
    }
    return {
      install: typeof install === 'string' ? install : undefined,
      revision: Number(revision),
      rows,
      unknownTypes: [...new Set(unknownTypes)],
    };
  }

  async commit(install: string, expected: number, rows: readonly Row[]): Promise<CommitResult> {
    const args = rows.flatMap(({ type, name, text }) => {
      // KEYS counts from 1 and begins with four keys that are not hashes.
      return [5 + this.#types.indexOf(type), type, name, text ?? ''];
    });
    const all = [install, expected, this.channel, ...args];
    const reply = await this.#ask(() => run(this.#redis, commitScript, this.#keys, all));
    const [outcome, revision] = Array.isArray(reply) ? reply : [];
    return {
      outcome: outcome === 'ok' || outcome === 'moved' ? outcome : 'lost',
      revision: Number(revision),
    };
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const ms = this.#deadlineMs;
    try {
      return await withDeadline(question(), ms, () => new Error(`no answer in ${ms} ms`));
    } catch (error) {
      if (Fault.is(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Fault('unavailable', `Definitions: Redis: ${reason}`, { cause: error });
    }
  }
}
