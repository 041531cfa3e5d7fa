import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Leases, type LeaseWish, SocketLeave } from '../../outgoing/http/socket-leave.ts';
import type { WorkerView } from '../admin/api.ts';
import { Fault } from '../core/fault.ts';
import type { LogHub } from '../log/log-hub.ts';
import type { Logger } from '../log/logger.ts';
import type { BoundPort } from '../process/port.ts';
import { WorkerPool } from '../process/worker-pool.ts';
import { WorkerProcess } from '../process/worker-process.ts';
import type { WorkerBirth, WorkerSetup } from './protocol.ts';
import type { Environment, Settings } from './settings.ts';

export interface WorkerStaffOptions {
  readonly settings: Settings;
  readonly env: Environment;
  readonly hub: LogHub;
  readonly log: Logger;
  readonly port: () => BoundPort;
  readonly setup: () => Promise<WorkerSetup>;
  /** Brings a set-up worker to where the others are. */
  readonly join: (worker: WorkerProcess) => Promise<void>;
}

const setupMs = 20_000;
const serveMs = 5_000;
const longestBeatMs = 1_000;

/** The worker processes: how one is started, told what it needs, and given traffic. */
export class WorkerStaff {
  readonly pool: WorkerPool;
  readonly #options: WorkerStaffOptions;
  readonly #marks: string;
  readonly #leave = new SocketLeave();

  constructor(options: WorkerStaffOptions) {
    this.#options = options;
    this.#marks = join(options.settings.dataDir, 'run');
    mkdirSync(this.#marks, { recursive: true, mode: 0o700 });
    this.pool = new WorkerPool({
      size: options.settings.workers,
      spawn: (id) => this.#spawn(id),
      ready: async (worker) => {
        await this.setUp(worker);
        await options.join(worker);
      },
      serve: (worker) => this.#serve(worker),
      log: options.log,
    });
  }

  /** Gives a new process its connections and definitions. */
  async setUp(worker: WorkerProcess): Promise<void> {
    await worker.rpc.request('setup', await this.#options.setup(), { timeoutMs: setupMs });
  }

  /** A worker that serves nobody; waits for one to be there. */
  async standby(): Promise<WorkerProcess> {
    const deadline = performance.now() + setupMs;
    for (;;) {
      await this.pool.fill();
      const worker = this.pool.standby();
      if (worker) return worker;
      if (performance.now() > deadline) throw new Fault('unavailable', 'No worker is standing by');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** One that serves, the least busy first. @throws Fault `unavailable` when none does. */
  any(): WorkerProcess {
    const [worker] = this.pool
      .serving()
      .toSorted((one, other) => one.heartbeat.inFlight - other.heartbeat.inFlight);
    if (worker) return worker;
    throw new Fault('unavailable', 'No worker is serving');
  }

  /** As the admin API shows them. */
  views(): readonly WorkerView[] {
    return this.pool.list().map(({ id, pid, state, startedAt, heartbeat }) => ({
      id,
      pid,
      state,
      uptimeMs: Date.now() - startedAt,
      ...heartbeat,
    }));
  }

  /** Path of the service file that a worker was evaluating when it ended. */
  markOf(worker: WorkerProcess): string | undefined {
    try {
      return readFileSync(this.#markFile(worker.id), 'utf8').split('\0')[0] || undefined;
    } catch {
      return undefined; // it never evaluated anything
    }
  }

  #spawn(id: number): WorkerProcess {
    const { settings, hub, env } = this.#options;
    const birth: WorkerBirth = {
      id,
      logLevel: settings.logLevel,
      heartbeatMs: Math.min(longestBeatMs, Math.ceil(settings.hangMs / 4)),
      markFile: this.#markFile(id),
    };
    const leases = new Leases(this.#leave);
    const worker: WorkerProcess = new WorkerProcess({
      id,
      entry: fileURLToPath(new URL('../worker.js', import.meta.url)),
      args: [JSON.stringify(birth)],
      // Semi-spaces grow with redeploys and are never given back (Node 24): bound them.
      // The port opens at a SIGUSR1 only: which is sent to find out where a worker hangs.
      execArgv: ['--max-semi-space-size=16', '--inspect-port=0'],
      env: { ...env },
      output: hub.input({ worker: id }),
      hangMs: settings.hangMs,
      handlers: {
        recycle: () => this.pool.recycle(worker, settings.graceMs),
        notice: (notice: unknown) => {
          for (const other of this.pool.list()) {
            if (other !== worker) other.rpc.notify('heed', notice);
          }
        },
        acquireSocket: (wish: LeaseWish) => leases.acquire(wish),
        releaseSocket: (lease: number) => leases.release(lease),
      },
    });
    void worker.exited.then(() => leases.end());
    return worker;
  }

  async #serve(worker: WorkerProcess): Promise<void> {
    const { handle } = this.#options.port();
    await worker.rpc.request('serve', {}, { timeoutMs: serveMs, handle });
  }

  #markFile(id: number): string {
    return join(this.#marks, `worker-${id}.mark`);
  }
}
