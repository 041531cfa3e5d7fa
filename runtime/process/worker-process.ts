import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { type Channel, type Handler, type Message, Rpc } from './rpc.ts';
import { type StuckPlace, stuckPlace } from './stuck-place.ts';

/** What a worker says of itself each second. */
export interface Heartbeat {
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly inFlight: number;
  /** Requests served since it started. */
  readonly served: number;
  /** Retired service versions that are still reachable. */
  readonly retiredAlive: number;
  /** The longest stall of its event loop since the last heartbeat, in ms. */
  readonly stallMs: number;
  /** Open WebSocket connections. */
  readonly sockets: number;
}

export type WorkerState = 'starting' | 'standby' | 'serving' | 'draining' | 'dead';

export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface WorkerProcessOptions {
  readonly id: number;
  /** The worker's entry script. */
  readonly entry: string;
  readonly args: readonly string[];
  readonly execArgv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Takes what it prints. */
  readonly output: Writable;
  readonly handlers: Readonly<Record<string, Handler>>;
  /** Without a heartbeat for so long it is killed. */
  readonly hangMs: number;
}

/** To start up and say the first word. */
const firstBeatMs = 10_000;
/** A watchdog that itself comes so late has slept, with the machine or stopped by a signal. */
const lateMs = 500;

const nothing: Heartbeat = {
  rssBytes: 0,
  heapUsedBytes: 0,
  inFlight: 0,
  served: 0,
  retiredAlive: 0,
  stallMs: 0,
  sockets: 0,
};

/** One worker as the control process sees it: its process, state, heartbeats and requests. */
export class WorkerProcess {
  readonly id: number;
  readonly pid: number;
  readonly startedAt = Date.now();
  readonly rpc: Rpc;
  /** Resolves once it has ended, however it ended. */
  readonly exited: Promise<WorkerExit>;
  state: WorkerState = 'starting';
  heartbeat: Heartbeat = nothing;
  /** True when it was killed for not answering. */
  hung = false;
  /** Where in user code it hung, when that could be found out. */
  stuckAt: StuckPlace | undefined;
  /** True when it was told to end and be replaced. */
  recycled = false;
  readonly #child: ChildProcess;
  readonly #hangMs: number;
  readonly #output: Writable;
  #watchdog: NodeJS.Timeout | undefined;
  #beats = 0;

  constructor(options: WorkerProcessOptions) {
    this.id = options.id;
    this.#hangMs = options.hangMs;
    this.#output = options.output;
    const child = fork(options.entry, [...options.args], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [...options.execArgv],
      env: options.env,
    });
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('error', () => {
      // It did not start: that is its end, below.
    });
    child.stdout?.pipe(options.output, { end: false });
    child.stderr?.pipe(options.output, { end: false });
    this.rpc = new Rpc(channelOf(child), {
      ...options.handlers,
      heartbeat: (beat: Heartbeat) => this.#beat(beat),
    });
    this.exited = once(child, 'exit').then(
      ([code, signal]) => this.#ended({ code, signal } as WorkerExit),
      () => this.#ended({ code: null, signal: null }),
    );
    this.#arm();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Ends it because it does not answer; within 1.5 s, in which it is asked where it hangs. */
  killHung(): void {
    if (this.hung) return;
    this.hung = true;
    void stuckPlace(this.#child, { output: this.#output }).then((place) => {
      this.stuckAt = place;
      this.kill();
    });
  }

  #beat(beat: Heartbeat): void {
    this.heartbeat = beat;
    this.#beats++;
    this.#arm();
  }

  #arm(): void {
    if (this.state === 'dead' || this.hung) return;
    clearTimeout(this.#watchdog);
    const patienceMs = this.#beats === 0 ? Math.max(this.#hangMs, firstBeatMs) : this.#hangMs;
    const dueAt = performance.now() + patienceMs;
    this.#watchdog = setTimeout(() => this.#suspect(dueAt), patienceMs);
  }

  /** No heartbeat in time; but this process may have been the one that stood still. */
  #suspect(dueAt: number): void {
    if (performance.now() - dueAt > lateMs) {
      this.#arm();
      return;
    }
    const beats = this.#beats;
    // Timers run before what has arrived is read: look at that first.
    setImmediate(() => {
      if (beats === this.#beats && this.state !== 'dead') this.killHung();
    });
  }

  #ended(exit: WorkerExit): WorkerExit {
    this.state = 'dead';
    clearTimeout(this.#watchdog);
    this.rpc.close(`Worker ${this.id} has ended`);
    return exit;
  }
}

function channelOf(child: ChildProcess): Channel {
  return {
    send(message, handle, onSent) {
      if (child.connected) child.send(message, handle as never, {}, onSent);
      else onSent(new Error('The worker is not connected'));
    },
    listen(take) {
      child.on('message', (message, handle) => take(message as Message, handle));
    },
  };
}
