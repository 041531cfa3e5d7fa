import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import type { Definition, DefinitionType } from './definition.ts';
import { type Change, type IfRevision, type Plan, planChanges } from './plan.ts';
import { faultOf } from './problem.ts';
import { RedisDefinitions, type Row, type Snapshot } from './redis-definitions.ts';
import { Serial } from './serial.ts';
import { type DefinitionChange, formatDefinition, Table } from './table.ts';
import { Watch } from './watch.ts';

export interface DefinitionStoreOptions {
  /** For commands; shared with others. */
  readonly redis: Redis;
  /** Makes a dedicated connection, which the store closes. */
  readonly subscriber: () => Redis;
  readonly types: readonly DefinitionType[];
  readonly namespace?: string;
  readonly log: Logger;
  readonly pollMs?: number;
  readonly reconcileMs?: number;
  /** For each call to Redis. */
  readonly deadlineMs?: number;
}

export interface StoreStatus {
  readonly revision: number;
  /** The last call to Redis was answered. */
  readonly up: boolean;
  readonly loaded: boolean;
  /**
   * Redis no longer has what was read from it: it was emptied or replaced, or it is back at an older
   * revision. The last known definitions serve on, and nothing can be changed.
   */
  readonly lost?: 'emptied' | 'rolled back';
}

export type DefinitionListener = (changes: readonly DefinitionChange[], revision: number) => void;

export interface Changed {
  readonly action: 'created' | 'changed' | 'unchanged' | 'deleted';
  readonly type: string;
  readonly name: string;
}

/** Stale plans are made again; only a storm of edits on other nodes uses this up. */
const maxAttempts = 200;

/** The definitions of one installation: kept in Redis, read from memory, watched in every process. */
export class DefinitionStore {
  readonly types: readonly DefinitionType[];
  readonly #redis: RedisDefinitions;
  readonly #table: Table;
  readonly #watch: Watch;
  readonly #log: Logger;
  readonly #pollMs: number;
  readonly #listeners = new Set<DefinitionListener>();
  /** Calls to Redis, one at a time: memory is never overwritten by an older answer. */
  readonly #calls = new Serial();
  readonly #writes = new Serial();
  #install: string | undefined;
  #revision = 0;
  #up = false;
  #lost: StoreStatus['lost'];
  #waiting: { readonly full: boolean; readonly done: Promise<void> } | undefined;
  #stopped = false;
  readonly #unknown = new Set<string>();

  constructor(options: DefinitionStoreOptions) {
    const { redis, types, log, namespace = 'hence', deadlineMs = 5_000 } = options;
    this.types = types;
    this.#log = log;
    this.#pollMs = options.pollMs ?? 1_000;
    this.#table = new Table(types, log);
    this.#redis = new RedisDefinitions({
      redis,
      types: types.map(({ type }) => type),
      namespace,
      deadlineMs,
    });
    this.#watch = new Watch({
      subscriber: options.subscriber,
      channel: this.#redis.channel,
      pollMs: this.#pollMs,
      reconcileMs: options.reconcileMs ?? 30_000,
      refresh: (full) => this.refresh({ full }).catch(() => undefined),
    });
  }

  /** Resolves once everything is loaded, however long Redis takes to be there. */
  async start(): Promise<void> {
    this.#stopped = false;
    while (!(await this.#load())) {
      await pause(Math.min(this.#pollMs, 200));
      if (this.#stopped) throw new Fault('unavailable', 'Definitions: stopped before they loaded');
    }
    this.#watch.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch.stop();
    await this.#writes.idle();
    await this.#calls.idle();
  }

  get revision(): number {
    return this.#revision;
  }

  status(): StoreStatus {
    return {
      revision: this.#revision,
      up: this.#up,
      loaded: this.#install !== undefined,
      ...(this.#lost ? { lost: this.#lost } : {}),
    };
  }

  isEmpty(): boolean {
    return this.#table.empty;
  }

  /** By name. */
  list<T>(type: DefinitionType<T>): readonly Definition<T>[];
  list(type: string): readonly Definition[];
  list(type: string | DefinitionType): readonly Definition[] {
    return this.#table.list(typeof type === 'string' ? type : type.type);
  }

  get<T>(type: DefinitionType<T>, name: string): Definition<T> | undefined;
  get(type: string, name: string): Definition | undefined;
  get(type: string | DefinitionType, name: string): Definition | undefined {
    return this.#table.get(typeof type === 'string' ? type : type.type, name);
  }

  /** Called in every process with what changed, whoever changed it. Returns how to stop. */
  onChange(listener: DefinitionListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** @throws Fault `conflict` when it exists. */
  create(type: string, name: string, spec: unknown): Promise<Definition> {
    return this.put(type, name, spec, { ifRevision: 'absent' });
  }

  /** Creates or replaces. An equal spec changes nothing, the revision included. */
  async put(
    type: string,
    name: string,
    spec: unknown,
    { ifRevision }: { readonly ifRevision?: IfRevision } = {},
  ): Promise<Definition> {
    await this.change([{ action: 'put', type, name, spec, ifRevision }]);
    return this.#mustGet(type, name);
  }

  /** Sets some keys of the spec; null removes one. */
  async patch(
    type: string,
    name: string,
    keys: Readonly<Record<string, unknown>>,
    { ifRevision }: { readonly ifRevision?: IfRevision } = {},
  ): Promise<Definition> {
    await this.change([{ action: 'patch', type, name, keys, ifRevision }]);
    return this.#mustGet(type, name);
  }

  async delete(
    type: string,
    name: string,
    { ifRevision }: { readonly ifRevision?: IfRevision } = {},
  ): Promise<void> {
    await this.change([{ action: 'delete', type, name, ifRevision }]);
  }

  /** A set of changes: all, as one revision, or none. */
  async change(changes: readonly Change[]): Promise<readonly Changed[]> {
    return await this.transact(async () => {
      const plan = await planChanges(changes, this, this.types);
      if (plan.problems.length > 0) throw faultOf(plan.problems);
      return plan;
    });
  }

  /**
   * Commits what `plan` finds to do with the definitions of this moment. It is asked again when they
   * moved meanwhile. With `dryRun` it only says what would be done.
   */
  transact(
    plan: () => Promise<Plan>,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<readonly Changed[]> {
    return this.#writes.run(async () => {
      this.#mustBeLoaded();
      for (let attempt = 0; attempt < maxAttempts; attempt++) {
        const revision = this.#revision;
        const made = await plan().catch(async (error: unknown) => {
          // A refusal may come from what memory missed: look again before it is believed.
          if (!Fault.is(error) || (await this.#isCurrent(revision))) throw error;
        });
        if (made && (await this.#commit(made, dryRun))) return made.outcomes.map(view);
      }
      throw new Fault('unavailable', 'Definitions: too many edits at once; try again');
    });
  }

  /** Reads what changed, or everything, from Redis. */
  refresh({ full = false }: { readonly full?: boolean } = {}): Promise<void> {
    if (this.#waiting && (this.#waiting.full || !full)) return this.#waiting.done;
    const done = this.#calls.run(() => {
      if (this.#waiting?.done === done) this.#waiting = undefined;
      return this.#read(full);
    });
    this.#waiting = { full, done };
    return done;
  }

  async #isCurrent(revision: number): Promise<boolean> {
    await this.refresh().catch(() => undefined);
    return this.#revision === revision;
  }

  /** False when the definitions moved since the plan was made. */
  #commit(plan: Plan, dryRun: boolean): Promise<boolean> {
    const writes = plan.outcomes.filter(({ action }) => action !== 'unchanged');
    return this.#calls.run(async () => {
      if (plan.revision !== this.#revision) return false;
      if (dryRun || writes.length === 0) return true;
      const revision = plan.revision + 1;
      const updatedAt = new Date().toISOString();
      const rows = writes.map(({ action, type, name, spec }): Row => {
        const gone = action === 'deleted';
        const text = formatDefinition({ type, name, revision, updatedAt, spec });
        return { type, name, text: gone ? undefined : text };
      });
      return await this.#write(plan.revision, rows);
    });
  }

  async #write(expected: number, rows: readonly Row[]): Promise<boolean> {
    const { outcome, revision } = await this.#asking(
      this.#redis.commit(this.#install ?? '', expected, rows).catch((error: unknown) => {
        const { message } = Fault.from(error);
        const text = `${message}; look whether the change was stored before you try again`;
        throw new Fault('unavailable', text, { cause: error });
      }),
    );
    if (outcome === 'ok') this.#took(rows, revision, false);
    else await this.#read(false);
    if (outcome === 'lost') throw new Fault('unavailable', lostText);
    return outcome === 'ok';
  }

  async #load(): Promise<boolean> {
    try {
      await this.#calls.run(async () => {
        this.#install ??= await this.#asking(this.#redis.install());
        await this.#read(true);
      });
      return true;
    } catch (error) {
      if (!Fault.is(error)) throw error;
      return false;
    }
  }

  async #read(full: boolean): Promise<void> {
    const complete = full || this.#lost !== undefined;
    const snapshot = await this.#asking(this.#redis.read(complete ? undefined : this.#revision));
    if (this.#isLost(snapshot)) return;
    for (const type of snapshot.unknownTypes.filter((one) => !this.#unknown.has(one))) {
      this.#unknown.add(type);
      this.#log.warn('definitions of an unknown type are left alone', { type });
    }
    this.#took(snapshot.rows, snapshot.revision, complete);
  }

  #isLost({ install, revision }: Snapshot): boolean {
    const before = this.#lost;
    if (install !== this.#install) this.#lost = 'emptied';
    else this.#lost = revision < this.#revision ? 'rolled back' : undefined;
    if (this.#lost && this.#lost !== before) {
      this.#log.error(lostText, { lost: this.#lost, revision, known: this.#revision });
    }
    if (before && !this.#lost) this.#log.info('definitions are back in redis', { revision });
    return this.#lost !== undefined;
  }

  #took(rows: readonly Row[], revision: number, complete: boolean): void {
    const changes = this.#table.take(rows, complete);
    this.#revision = revision;
    if (changes.length === 0) return;
    for (const listener of this.#listeners) {
      try {
        listener(changes, revision);
      } catch (error) {
        this.#log.error('a listener of definitions failed', { revision, error });
      }
    }
  }

  async #asking<T>(answer: Promise<T>): Promise<T> {
    try {
      const result = await answer;
      // At the start that is no news.
      const again = this.#install !== undefined && !this.#up;
      if (again) this.#log.info('definitions are in reach again', { revision: this.#revision });
      this.#up = true;
      return result;
    } catch (error) {
      if (this.#up) this.#log.warn('definitions are out of reach', { error });
      this.#up = false;
      throw error;
    }
  }

  #mustBeLoaded(): void {
    if (this.#install !== undefined) return;
    throw new Fault('unavailable', 'Definitions are not loaded yet');
  }

  #mustGet(type: string, name: string): Definition {
    const definition = this.get(type, name);
    if (definition) return definition;
    throw new Fault('conflict', `${type} ${name} was deleted meanwhile`);
  }
}

const lostText =
  'Redis was emptied, replaced or put back: the last known definitions serve on and cannot be changed. ' +
  'Give the old data back to Redis, or export the definitions, start anew and apply them';

function view({ action, type, name }: Changed): Changed {
  return { action, type, name };
}
