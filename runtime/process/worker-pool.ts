import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { fileOf } from './stuck-place.ts';
import type { WorkerExit, WorkerProcess } from './worker-process.ts';

export interface WorkerPoolOptions {
  /** How many serve. One more stands by: it tries each deploy first, and replaces one that died. */
  readonly size: number;
  /** Starts the process of a new worker. */
  readonly spawn: (id: number) => WorkerProcess;
  /** Brings a new worker to where the others are; it can serve when this resolves. */
  readonly ready: (worker: WorkerProcess) => Promise<void>;
  /** Gives a ready worker its share of the traffic. */
  readonly serve: (worker: WorkerProcess) => Promise<void>;
  readonly log: Logger;
  /** Waits between restarts of workers that die young; default 100 ms, doubling up to 10 s. */
  readonly backOff?: { readonly firstMs: number; readonly maxMs: number };
}

/** A worker that lives so long was not stillborn: the back-off starts anew. */
const settledMs = 10_000;

/** Keeps `size` workers serving and one standing by, replacing each that ends. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #lastId = 0;
  #replaced = 0;
  #stillborn = 0;
  #stopping = false;
  #filling: Promise<void> | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** How many ended and were replaced. */
  get replaced(): number {
    return this.#replaced;
  }

  list(): readonly WorkerProcess[] {
    return [...this.#workers.values()];
  }

  serving(): readonly WorkerProcess[] {
    return this.list().filter((worker) => worker.state === 'serving');
  }

  standby(): WorkerProcess | undefined {
    return this.list().find((worker) => worker.state === 'standby');
  }

  /**
   * Starts one process; it is not ready until the caller's `ready` has been run by `adopt`.
   * @throws Fault `unavailable` once it is stopping
   */
  spawn(): WorkerProcess {
    if (this.#stopping) throw new Fault('unavailable', 'The workers are being stopped');
    const worker = this.#options.spawn(++this.#lastId);
    this.#workers.set(worker.id, worker);
    void worker.exited.then((exit) => this.#ended(worker, exit));
    return worker;
  }

  /** Makes a started worker serve, or stand by when enough do. */
  async adopt(worker: WorkerProcess): Promise<void> {
    if (worker.state !== 'starting') return;
    worker.state = 'standby';
    if (this.serving().length < this.#options.size) await this.#promote(worker);
  }

  /** Starts workers until `size` serve and one stands by. Calls at the same time share one run. */
  fill(): Promise<void> {
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  /** Replaces a worker that can go on for a while: it finishes what it has and ends. */
  async recycle(worker: WorkerProcess, graceMs: number): Promise<void> {
    if (this.#stopping || worker.state === 'draining' || worker.state === 'dead') return;
    worker.state = 'draining';
    worker.recycled = true;
    this.#options.log.warn('worker is being replaced', { worker: worker.id });
    await this.#takeOver();
    // Without anybody else it goes on serving until its successor is ready.
    const filled = this.fill();
    if (this.serving().length === 0) await filled;
    await this.#drainOne(worker, graceMs);
  }

  /** No more replacements. Every worker finishes what it has within `graceMs`, then is killed. */
  async drain(graceMs: number): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.list().map((worker) => this.#drainOne(worker, graceMs)));
  }

  /** Ends every worker now. */
  kill(): void {
    this.#stopping = true;
    for (const worker of this.list()) worker.kill();
  }

  async #drainOne(worker: WorkerProcess, graceMs: number): Promise<void> {
    if (worker.state === 'dead') return;
    worker.state = 'draining';
    worker.recycled = true;
    const timer = setTimeout(() => worker.kill(), graceMs + 1_000);
    worker.rpc.request('drain', { graceMs }, { timeoutMs: graceMs + 1_000 }).catch(() => {
      worker.kill();
    });
    await worker.exited;
    clearTimeout(timer);
  }

  async #fill(): Promise<void> {
    while (!this.#stopping && this.#missing() > 0) {
      const worker = this.spawn();
      try {
        await this.#options.ready(worker);
        await this.adopt(worker);
      } catch (error) {
        if (this.#stopping) return;
        this.#options.log.error('worker did not get ready', { worker: worker.id, error });
        worker.kill();
        await worker.exited;
        return;
      }
    }
  }

  #missing(): number {
    const staying = this.list().filter((worker) => worker.state !== 'draining');
    return this.#options.size + 1 - staying.length;
  }

  async #promote(worker: WorkerProcess): Promise<void> {
    worker.state = 'serving';
    await this.#options.serve(worker);
  }

  /** The standby fills the gap, at once. */
  async #takeOver(): Promise<void> {
    const standby = this.standby();
    if (!standby || this.serving().length >= this.#options.size) return;
    try {
      await this.#promote(standby);
    } catch (error) {
      this.#options.log.error('standby did not take over', { worker: standby.id, error });
      standby.kill();
    }
  }

  #ended(worker: WorkerProcess, exit: WorkerExit): void {
    this.#workers.delete(worker.id);
    if (this.#stopping) return;
    this.#replaced++;
    const clean = exit.code === 0 && worker.recycled;
    this.#options.log[clean ? 'info' : 'error']('worker ended', {
      worker: worker.id,
      pid: worker.pid,
      reason: worker.hung ? 'it stopped answering' : (exit.signal ?? `exit code ${exit.code}`),
      at: worker.stuckAt && fileOf(worker.stuckAt),
    });
    void this.#takeOver();
    this.#refillLater(worker);
  }

  #refillLater(ended: WorkerProcess): void {
    const { firstMs, maxMs } = this.#options.backOff ?? { firstMs: 100, maxMs: 10_000 };
    const stillborn = Date.now() - ended.startedAt < settledMs;
    this.#stillborn = stillborn ? this.#stillborn + 1 : 0;
    const waitMs = stillborn ? Math.min(firstMs * 2 ** (this.#stillborn - 1), maxMs) : 0;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.fill();
    }, waitMs);
    this.#timers.add(timer);
  }
}
