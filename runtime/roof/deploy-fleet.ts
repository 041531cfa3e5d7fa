import { Fault } from '../core/fault.ts';
import type { DeployFailure, Fleet, Prepared, Transaction } from '../deploy/unit.ts';
import type { Logger } from '../log/logger.ts';
import type { WorkerProcess } from '../process/worker-process.ts';
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

const commitMs = 5_000;

/** The workers as the deployer sees them: all prepare, all commit, and none joins in between. */
export class DeployFleet implements Fleet {
  readonly #options: DeployFleetOptions;
  readonly #members = new Set<WorkerProcess>();
  /** Who has prepared the running transaction. */
  readonly #prepared = new Set<WorkerProcess>();
  readonly #turn = new Turn();
  #running: number | undefined;
  #release: (() => void) | undefined;

  constructor(options: DeployFleetOptions) {
    this.#options = options;
  }

  /** Brings a worker to where the others are, between two deploys, and has it follow from then on. */
  async join(worker: WorkerProcess): Promise<void> {
    const release = await this.#turn.take();
    try {
      for (const live of this.#options.live()) {
        await this.#ask<Prepared>(worker, 'prepare', live, this.#patience(live));
        const roots = live.roots.map(({ path }) => path);
        await this.#ask(worker, 'commit', { id: live.id, roots }, commitMs);
      }
      this.#add(worker);
    } finally {
      release();
    }
  }

  /** Every worker that follows deploys. */
  members(): readonly WorkerProcess[] {
    return [...this.#members];
  }

  async canary(transaction: Transaction): Promise<Prepared> {
    return this.#surviving(transaction, async () => {
      // A new standby joins between transactions only: waiting for it inside one would never end.
      this.#end(transaction);
      const worker = await this.#options.standby();
      await this.#begin(transaction);
      return worker;
    });
  }

  async prepare(transaction: Transaction): Promise<readonly Prepared[]> {
    if (this.#running === undefined) await this.#begin(transaction);
    const waiting = [...this.#members].filter((worker) => !this.#prepared.has(worker));
    if (waiting.length === 0 && this.#prepared.size === 0) {
      return [await this.#surviving(transaction, () => this.#first())];
    }
    const answers = await Promise.all(waiting.map((worker) => this.#try(worker, transaction)));
    return answers.filter((answer) => answer !== undefined);
  }

  async commit(transaction: Transaction, roots: readonly string[]): Promise<void> {
    await this.#all('commit', { id: transaction.id, roots });
    this.#end(transaction);
  }

  async abort(transaction: Transaction): Promise<void> {
    await this.#all('abort', { id: transaction.id });
    this.#end(transaction);
  }

  /**
   * Prepares in one worker at a time, leaving out each root that ends or hangs it, until one
   * worker has lived through the rest.
   */
  async #surviving(
    transaction: Transaction,
    next: () => Promise<WorkerProcess>,
  ): Promise<Prepared> {
    const deaths: (DeployFailure & { readonly path: string })[] = [];
    for (;;) {
      const worker = await next();
      const killers = new Set(deaths.map(({ path }) => path));
      const rest = {
        ...transaction,
        roots: transaction.roots.filter(({ path }) => !killers.has(path)),
      };
      const answer = await this.#try(worker, rest);
      if (!answer) continue;
      if (worker.state !== 'dead') {
        return { ...answer, failures: [...answer.failures, ...deaths] };
      }
      deaths.push(...answer.failures);
      if (rest.roots.length === 0 || deaths.length >= transaction.roots.length) {
        return { id: transaction.id, services: [], failures: deaths };
      }
    }
  }

  /** A worker's answer; a failure of the root that ended it; undefined when it ended for another reason. */
  async #try(worker: WorkerProcess, transaction: Transaction): Promise<Prepared | undefined> {
    const patienceMs = this.#patience(transaction);
    try {
      const answer = await this.#ask<Prepared>(worker, 'prepare', transaction, patienceMs);
      this.#prepared.add(worker);
      return answer;
    } catch (error) {
      const hung = Fault.from(error).code === 'timeout' || worker.hung;
      worker.kill();
      await worker.exited;
      const path = this.#options.markOf(worker);
      const root = transaction.roots.find((candidate) => candidate.path === path);
      if (!root) return undefined;
      const message = hung
        ? `It did not finish loading in ${patienceMs} ms: an endless loop?`
        : 'It ended its process while loading: process.exit, or a crash';
      const kind = hung ? 'timeout' : 'exit';
      const failure = { path: root.path, file: root.file, kind, message } as const;
      return { id: transaction.id, services: [], failures: [failure] };
    }
  }

  async #first(): Promise<WorkerProcess> {
    for (const worker of this.#members) if (worker.state !== 'dead') return worker;
    const worker = await this.#options.start();
    this.#add(worker);
    return worker;
  }

  #add(worker: WorkerProcess): void {
    this.#members.add(worker);
    void worker.exited.then(() => this.#members.delete(worker));
  }

  /** How long a prepare may take: the limit of one file, and a little for each. */
  #patience(transaction: Transaction): number {
    return this.#options.loadMs + 20 * transaction.roots.length;
  }

  /** Who does not answer is ended: its replacement joins with everything live. */
  async #all(method: 'commit' | 'abort', body: unknown): Promise<void> {
    const workers = [...this.#prepared].filter((worker) => worker.state !== 'dead');
    await Promise.all(
      workers.map(async (worker) => {
        try {
          await this.#ask(worker, method, body, commitMs);
        } catch (error) {
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
