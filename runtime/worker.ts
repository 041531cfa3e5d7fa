import type { Server } from 'node:http';
import net from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { leaseBy } from '../outgoing/http/socket-leave.ts';
import { Fault } from './core/fault.ts';
import { Log } from './log/log.ts';
import { Redactor } from './log/redact.ts';
import { type Channel, type Message, Rpc } from './process/rpc.ts';
import type { Heartbeat } from './process/worker-process.ts';
import { openMark } from './roof/mark.ts';
import type {
  InvokeOrder,
  InvokeResult,
  ServiceCounters,
  WorkerBirth,
  WorkerSetup,
} from './roof/protocol.ts';
import { WorkerFloor } from './roof/worker-floor.ts';

/** After its parent has gone a worker has so long to finish. */
const orphanGraceMs = 5_000;
/** At an end an idle connection stays open so long: its client may just be sending. */
const lingerMs = 1_000;

/** The call's own deadline comes first: this is only the longest that a timer can be. */
const longestLeaseMs = 2 ** 31 - 1;

/** The process that runs user code: it does what the control process tells it. */
export class WorkerLife {
  readonly #id: number;
  readonly #log: Log;
  readonly #heartbeatMs: number;
  readonly #rpc: Rpc;
  readonly #redactor = new Redactor();
  readonly #mark: (path: string | undefined) => void;
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });
  #floor: WorkerFloor | undefined;
  #server: Server | undefined;
  #ending: Promise<void> | undefined;
  #recycling = false;

  constructor(birth: WorkerBirth) {
    this.#id = birth.id;
    this.#heartbeatMs = birth.heartbeatMs;
    this.#log = Log.open({
      level: birth.logLevel,
      stream: process.stdout,
      redactor: this.#redactor,
      facts: { worker: birth.id },
    });
    this.#mark = openMark(birth.markFile);
    this.#rpc = new Rpc(parentChannel(), {
      setup: (setup: WorkerSetup) => this.#setUp(setup),
      prepare: (transaction: never) => this.#ready.loader.prepare(transaction),
      commit: (order: { id: number; roots: readonly string[] }) =>
        this.#ready.loader.commit(order.id, order.roots),
      abort: (order: { id: number }) => this.#ready.loader.abort(order.id),
      serve: (_: unknown, handle: unknown) => this.#serve(handle),
      invoke: (order: InvokeOrder) => this.#invoke(order),
      ping: (order: { name: string; cid: string }) =>
        this.#ready.outgoing.get(order.name).conn.ping(order.cid),
      counters: () => this.#counters(),
      heed: (order: { connection: string; notice: never }) =>
        this.#ready.outgoing.heed(order.connection, order.notice),
      drain: (order: { graceMs: number }) => this.end(order.graceMs),
    });
  }

  start(): void {
    this.#delay.enable();
    setInterval(() => this.#beat(), this.#heartbeatMs);
    this.#beat();
    // The control process gets the terminal's signals too, and decides.
    process.on('SIGINT', () => {});
    process.on('SIGTERM', () => {});
    process.on('disconnect', () => void this.end(orphanGraceMs));
    // It may have gone before anybody listened for that.
    if (!process.connected) void this.end(orphanGraceMs);
    process.on('uncaughtException', (error, origin) => this.#stray(error, origin));
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', () => {
        // Nobody reads the log any more: serving goes on without it.
      });
    }
  }

  /** Takes nothing new, finishes what it has, and ends the process. */
  end(graceMs: number): Promise<void> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  get #ready(): WorkerFloor {
    if (this.#floor) return this.#floor;
    throw new Fault('unavailable', 'The worker is not set up yet');
  }

  async #setUp(setup: WorkerSetup): Promise<void> {
    this.#floor = await WorkerFloor.build(setup, {
      worker: this.#id,
      log: this.#log,
      env: process.env,
      mark: this.#mark,
      acquireSocket: leaseBy({
        ask: (wish) => this.#rpc.request('acquireSocket', wish, { timeoutMs: longestLeaseMs }),
        release: (lease) => this.#rpc.notify('releaseSocket', lease),
      }),
      redactor: this.#redactor,
      onNotice: (connection, notice) => this.#rpc.notify('notice', { connection, notice }),
    });
  }

  async #serve(handle: unknown): Promise<void> {
    const floor = this.#ready;
    const server = floor.createServer();
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(handle, () => {
        server.off('error', reject);
        resolve();
      });
    });
    floor.work();
  }

  async #invoke({ service, input, cid, timeoutMs }: InvokeOrder): Promise<InvokeResult> {
    const { registry, invoke } = this.#ready;
    const version = registry.get(service)?.version ?? 0;
    const { payload } = await invoke({
      cid,
      service,
      input,
      rawRequest: input,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    return { payload, version };
  }

  #counters(): readonly ServiceCounters[] {
    return this.#ready.registry.list().map(({ name, version, calls, errors, inFlight }) => ({
      name,
      version,
      calls,
      errors,
      inFlight,
    }));
  }

  #beat(): void {
    const { rss, heapUsed } = process.memoryUsage();
    const stallMs = Math.max(0, Math.round(this.#delay.max / 1e6) - 20);
    this.#delay.reset();
    this.#rpc.notify('heartbeat', {
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      inFlight: (this.#floor?.channels.inFlight ?? 0) + (this.#floor?.webSockets.inFlight ?? 0),
      served: (this.#floor?.channels.served ?? 0) + (this.#floor?.webSockets.served ?? 0),
      sockets: this.#floor?.webSockets.sockets ?? 0,
      retiredAlive: this.#floor?.loader.gauge().retired ?? 0,
      stallMs,
    } satisfies Heartbeat);
  }

  /** An error nobody waits for: the process may be in any state, so it finishes what it has and goes. */
  #stray(error: unknown, origin: string): void {
    this.#log.error('error that nobody caught: the worker is replaced', { origin, error });
    if (this.#recycling) return;
    this.#recycling = true;
    this.#rpc.notify('recycle', {});
  }

  async #end(graceMs: number): Promise<void> {
    const { promise: late, timer } = after(graceMs);
    await Promise.race([late, this.#finish(graceMs)]);
    clearTimeout(timer);
    await Promise.race([this.#log.close(), after(500).promise]);
    // BullMQ and ioredis can wait for an unreachable Redis for ever.
    process.exit(0);
  }

  async #finish(graceMs: number): Promise<void> {
    const floor = this.#floor;
    await Promise.all([this.#stopServing(), floor?.stopWork(graceMs)]);
    await floor?.close();
  }

  /** Nothing new is accepted; each connection ends with its next reply, and idle ones after a moment. */
  async #stopServing(): Promise<void> {
    const server = this.#server;
    const floor = this.#floor;
    if (!server || !floor) return;
    // Not http's own close(): that ends idle connections under the requests that are on their way.
    const closed = new Promise<void>((resolve) => {
      net.Server.prototype.close.call(server, () => resolve());
    });
    const drained = Promise.all([floor.channels.drain(), floor.webSockets.drain()]);
    const { promise: lingered, timer } = after(lingerMs);
    await Promise.race([closed, lingered]);
    clearTimeout(timer);
    server.closeIdleConnections();
    await drained;
    server.closeIdleConnections();
  }
}

function after(ms: number): { promise: Promise<void>; timer: NodeJS.Timeout | undefined } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return { promise, timer };
}

function parentChannel(): Channel {
  return {
    send(message, handle, onSent) {
      if (process.connected) process.send?.(message, handle as never, {}, onSent);
      else onSent(new Error('The control process is gone'));
    },
    listen(take) {
      process.on('message', (message, handle) => take(message as Message, handle));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  new WorkerLife(JSON.parse(process.argv[2] ?? '{}') as WorkerBirth).start();
}
