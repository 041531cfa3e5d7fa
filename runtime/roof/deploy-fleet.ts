import { Fault } from '../core/fault.ts';
import type { Fleet, Prepared, Root, Transaction } from '../deploy/unit.ts';
import type { Logger } from '../log/logger.ts';
import type { WorkerExit, WorkerProcess } from '../process/worker-process.ts';
import { deathBy } from './load-death.ts';
import { Turn } from './turn.ts';

export interface DeployFleetOptions {
  /** A worker that serves nobody, started when there is none. */
  readonly standby: () => Promise<WorkerProcess>;
  /** Starts a worker for the first deploy, when the one there was did not live through it. */
  readonly start: () => Promise<WorkerProcess>;
  /** Everything live, for a worker that comes later. */
  readonly live: () => readonly Transaction[];
  /** Path of the service file that a worker was evaluating when it ended. */
  readonly markOf: (worker: WorkerProcess) => string | undefined;
  readonly log: Logger;
  /** The longest one service file may take to load. */
  readonly loadMs: number;
}

type RootFailure = Prepared['failures'][number];

const commitMs = 5_000;
/** Canaries that somebody else ended before the file they were loading is suspected after all. */
const mostAccidents = 3;

/** The workers as the deployer sees them: all prepare, all commit, and none joins in between. */
export class DeployFleet implements Fleet {
  readonly #options: DeployFleetOptions;
  readonly #members = new Set<WorkerProcess>();
  /** Who has prepared the running transaction, and what each answered. */
  readonly #prepared = new Map<WorkerProcess, Prepared>();
  readonly #turn = new Turn();
  /** Live files that ended a worker which was to load them later. */
  readonly #deadly = new Set<string>();
  #booted = false;
  #running: number | undefined;
  #release: (() => void) | undefined;

  constructor(options: DeployFleetOptions) {
    this.#options = options;
  }

  /** Brings a worker to where the others are, between two deploys, and has it follow from then on. */
  async join(worker: WorkerProcess): Promise<void> {
    const release = await this.#turn.take();
    try {
      for (const live of this.#options.live()) await this.#catchUp(worker, live);
      this.#add(worker);
    } finally {
      release();
    }
  }

  /** Every worker that follows deploys. */
  members(): readonly WorkerProcess[] {
    return [...this.#members];
  }

  /** Everything there was at the start is loaded: from now on new workers come by `join`. */
  booted(): void {
    this.#booted = true;
  }

  async canary(transaction: Transaction): Promise<Prepared> {
    return this.#surviving(transaction, () => this.#canaryFor(transaction));
  }

  async prepare(transaction: Transaction): Promise<readonly Prepared[]> {
    if (this.#running === undefined) await this.#begin(transaction);
    const waiting = [...this.#members].filter((worker) => !this.#prepared.has(worker));
    if (waiting.length === 0 && this.#prepared.size === 0 && !this.#booted) {
      return [await this.#surviving(transaction, () => this.#first())];
    }
    const failures = (
      await Promise.all(waiting.map((worker) => this.#try(worker, transaction)))
    ).filter((failure) => failure !== undefined);
    const answers = [...this.#prepared.values()];
    if (answers.length + failures.length === 0 && transaction.roots.length > 0) {
      throw new Fault('unavailable', 'No worker is there to load it');
    }
    if (failures.length === 0) return answers;
    // A canary lived through it: who ends when others do not was ended by something else.
    if (answers.length > 0 && failures.length < waiting.length) return answers;
    return [...answers, { id: transaction.id, services: [], failures }];
  }

  async commit(transaction: Transaction, roots: readonly string[]): Promise<void> {
    try {
      await this.#all('commit', { id: transaction.id, roots });
    } finally {
      this.#end(transaction);
    }
  }

  async abort(transaction: Transaction): Promise<void> {
    try {
      await this.#all('abort', { id: transaction.id });
    } finally {
      this.#end(transaction);
    }
  }

  /** A file that does not load here, though it did elsewhere, is left out: the worker is better than none. */
  async #catchUp(worker: WorkerProcess, live: Transaction): Promise<void> {
    const roots = live.roots.filter((root) => !this.#deadly.has(keyOf(root)));
    const order = { ...live, roots };
    const failure = await this.#try(worker, order);
    const answer = this.#prepared.get(worker);
    this.#prepared.delete(worker);
    const failures = failure ? [failure] : (answer?.failures ?? []);
    for (const { file, message } of failures) {
      this.#options.log.error('service file does not load in a new worker', {
        worker: worker.id,
        file,
        reason: message,
      });
    }
    if (!answer) {
      const killer = roots.find(({ path }) => path === failure?.path);
      if (killer) this.#deadly.add(keyOf(killer));
      throw new Fault('unavailable', 'It ended while it loaded the services');
    }
    const failed = new Set(failures.map(({ path }) => path));
    const loaded = roots.map(({ path }) => path).filter((path) => !failed.has(path));
    await this.#ask(worker, 'commit', { id: live.id, roots: loaded }, commitMs);
  }

  /** The standby, with the turn taken; not one that began to serve while the turn was waited for. */
  async #canaryFor(transaction: Transaction): Promise<WorkerProcess> {
    for (;;) {
      // A new standby joins between transactions only: waiting for it inside one would never end.
      this.#end(transaction);
      const worker = await this.#options.standby();
      await this.#begin(transaction);
      if (worker.state === 'standby') return worker;
    }
  }

  /**
   * Prepares in one worker at a time, leaving out each root that ends or hangs it, until one
   * worker has lived through the rest.
   */
  async #surviving(
    transaction: Transaction,
    next: () => Promise<WorkerProcess>,
  ): Promise<Prepared> {
    const deaths: RootFailure[] = [];
    let accidents = 0;
    for (;;) {
      const worker = await next();
      const rest = without(transaction, deaths);
      const failure = await this.#try(worker, rest, accidents >= mostAccidents);
      const answer = this.#prepared.get(worker);
      if (answer) return { ...answer, failures: [...answer.failures, ...deaths] };
      if (failure) deaths.push(failure);
      else accidents++;
      if (accidents > 2 * mostAccidents) {
        throw new Fault('unavailable', 'Every worker that tried ended before it was done');
      }
      if (deaths.length >= transaction.roots.length) {
        return { id: transaction.id, services: [], failures: deaths };
      }
    }
  }

  /**
   * Has a worker prepare; its answer is kept.
   * @returns the failure of the root that ended it; undefined for an answer, and when it ended for another reason.
   */
  async #try(
    worker: WorkerProcess,
    transaction: Transaction,
    blame = false,
  ): Promise<RootFailure | undefined> {
    const patienceMs = this.#patience(transaction);
    try {
      const answer = await this.#ask<Prepared>(worker, 'prepare', transaction, patienceMs);
      this.#prepared.set(worker, answer);
      return undefined;
    } catch (error) {
      const { code } = Fault.from(error);
      if (code !== 'timeout' && code !== 'unavailable') throw error;
      const exit = await this.#ended(worker, code === 'timeout');
      if (!blame && isAccident(worker, exit)) return undefined;
      const path = this.#options.markOf(worker);
      const root = transaction.roots.find((candidate) => candidate.path === path);
      if (!root) return undefined;
      const { hung, stuckAt } = worker;
      const transactions = [transaction, ...this.#options.live()];
      return await deathBy({ root, hung, stuckAt, patienceMs, transactions });
    }
  }

  /** Waits for the end of a worker that does not answer, or has gone. */
  async #ended(worker: WorkerProcess, hung: boolean): Promise<WorkerExit> {
    if (hung) worker.killHung();
    // One that only closed its channel does not end by itself.
    const timer = setTimeout(() => worker.killHung(), commitMs);
    const exit = await worker.exited;
    clearTimeout(timer);
    return exit;
  }

  async #first(): Promise<WorkerProcess> {
    for (const worker of this.#members) if (worker.state !== 'dead') return worker;
    const worker = await this.#options.start();
    this.#add(worker);
    return worker;
  }

  #add(worker: WorkerProcess): void {
    if (worker.state === 'dead') return;
    this.#members.add(worker);
    void worker.exited.then(() => {
      this.#members.delete(worker);
      this.#prepared.delete(worker);
    });
  }

  /** How long a prepare may take: the limit of one file, and a little for each. */
  #patience(transaction: Transaction): number {
    return this.#options.loadMs + 20 * transaction.roots.length;
  }

  /** Who does not answer is ended: its replacement joins with everything live. */
  async #all(method: 'commit' | 'abort', body: unknown): Promise<void> {
    await Promise.all(
      [...this.#prepared.keys()].map(async (worker) => {
        try {
          await this.#ask(worker, method, body, commitMs);
        } catch (error) {
          if (worker.state === 'dead') return;
          this.#options.log.error('worker did not follow a deploy', { worker: worker.id, error });
          worker.kill();
        }
      }),
    );
  }

  #ask<T>(worker: WorkerProcess, method: string, body: unknown, timeoutMs: number): Promise<T> {
    return worker.rpc.request<T>(method, body, { timeoutMs });
  }

  async #begin(transaction: Transaction): Promise<void> {
    this.#release = await this.#turn.take();
    this.#running = transaction.id;
    this.#prepared.clear();
  }

  #end(transaction: Transaction): void {
    if (this.#running !== transaction.id) return;
    const release = this.#release;
    this.#running = undefined;
    this.#release = undefined;
    this.#prepared.clear();
    // In a later turn of the loop: by then the deployer has noted what is live.
    if (release) setImmediate(release);
  }
}

function without(transaction: Transaction, deaths: readonly RootFailure[]): Transaction {
  const killers = new Set(deaths.map(({ path }) => path));
  return { ...transaction, roots: transaction.roots.filter(({ path }) => !killers.has(path)) };
}

function keyOf({ path, hash }: Root): string {
  return `${hash} ${path}`;
}

/** Ended by somebody else, or told to end: no file is to blame. */
function isAccident(worker: WorkerProcess, exit: WorkerExit): boolean {
  return worker.recycled || (exit.signal === 'SIGKILL' && !worker.hung);
}
