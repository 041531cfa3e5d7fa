import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { background } from '../core/background.ts';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { boundLog, type Layout, layoutOf, makeFolders, writeConf } from './layout.ts';
import { endLeftover } from './leftover.ts';
import { Ownership } from './owner.ts';
import { askRedis } from './probe.ts';
import type { RedisTarget } from './target.ts';
import { checkBinary } from './version.ts';

export interface RedisServerOptions {
  /** Where data, configuration, log and socket are. */
  readonly dir: string;
  readonly log: Logger;
  /** The program; by default `redis-server` of the PATH. See `findRedisBinary`. */
  readonly binary?: string;
  /** By default 60 % of the memory this process may use. */
  readonly maxMemoryBytes?: number;
  /** How long a clean stop may take before the kill; 5 s by default. */
  readonly stopTimeoutMs?: number;
  /** Redis ended by itself; a new one is on its way. */
  readonly onDown?: (reason: string) => void;
  /** Redis answers again after an `onDown`. */
  readonly onUp?: () => void;
}

type State = 'idle' | 'starting' | 'up' | 'down' | 'stopping';

const firstBackOffMs = 50;
const longestBackOffMs = 5_000;
/** One that lived longer than this starts over with the shortest back-off. */
const steadyMs = 10_000;
const answerMs = 10_000;
const defaultStopMs = 5_000;
const boundLogEveryMs = 60_000;

/** A Redis of our own: on a unix socket in a private folder, durable, supervised. One life: start once, stop once. */
export class RedisServer {
  readonly #layout: Layout;
  readonly #options: RedisServerOptions;
  readonly #binary: string;
  readonly #log: Logger;
  #state: State = 'idle';
  #owner: Ownership | undefined;
  #child: ChildProcess | undefined;
  #version = '';
  #upSince = 0;
  #backOffMs = firstBackOffMs;
  #abort = new AbortController();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #logTimer: NodeJS.Timeout | undefined;

  constructor(options: RedisServerOptions) {
    this.#options = options;
    this.#layout = layoutOf(options.dir);
    this.#binary = options.binary ?? 'redis-server';
    this.#log = options.log;
  }

  get target(): RedisTarget {
    return { path: this.#layout.socket };
  }

  /** Of the program; known after `start`. */
  get version(): string {
    return this.#version;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#state === 'up';
  }

  /** Resolves when Redis answers and has read its data. */
  start(): Promise<void> {
    this.#starting ??= this.#begin();
    return this.#starting;
  }

  /** A clean shutdown, and a kill when that takes too long; gives the folder free. */
  stop(): Promise<void> {
    this.#stopping ??= this.#finish();
    return this.#stopping;
  }

  async #begin(): Promise<void> {
    this.#state = 'starting';
    try {
      await makeFolders(this.#layout);
      this.#sayShortPath();
      this.#owner = await this.#take();
      const [version, leftover] = await Promise.all([
        checkBinary(this.#binary),
        endLeftover(this.#layout),
      ]);
      this.#version = version;
      if (leftover !== undefined) {
        this.#log.warn('redis left by an earlier start was stopped', { pid: leftover });
      }
      await this.#launch();
    } catch (thrown) {
      await this.#release();
      throw thrown;
    }
    this.#logTimer = setInterval(() => {
      background(boundLog(this.#layout), (error) => this.#log.warn('redis log not cut', { error }));
    }, boundLogEveryMs);
  }

  #sayShortPath(): void {
    const { dir, socket, socketDir } = this.#layout;
    if (socketDir === dir) return;
    this.#log.info('redis socket is in the temporary folder: the path of its own is too long', {
      dir,
      socket,
    });
  }

  async #take(): Promise<Ownership> {
    const taken = await Ownership.take(this.#layout.owner);
    if (typeof taken !== 'number') return taken;
    throw new Fault(
      'conflict',
      `Another hence${taken > 0 ? ` (pid ${taken})` : ''} already runs the Redis of ${this.#layout.dir}; ` +
        'stop it, or start this one in another folder',
    );
  }

  /** One process, from spawn to its first answer; from then on its end is noticed. */
  async #launch(): Promise<void> {
    await boundLog(this.#layout);
    await writeConf(this.#layout, this.#options.maxMemoryBytes ?? defaultMaxMemory());
    if (this.#abort.signal.aborted) throw new Fault('unavailable', 'Redis was stopped');
    // A group of its own: Ctrl-C in a terminal must not end Redis before the workers have drained.
    const child = spawn(this.#binary, [this.#layout.conf], { stdio: 'ignore', detached: true });
    const ended = endOf(child);
    this.#child = child;
    const reason = await Promise.race([ended, this.#answers()]);
    if (reason !== undefined) {
      if (isRunning(child)) child.kill('SIGKILL');
      await ended;
      throw new Fault('unavailable', `Redis did not start: ${reason}${await this.#lastWords()}`);
    }
    this.#state = 'up';
    this.#upSince = Date.now();
    background(
      ended.then((end) => this.#died(end)),
      (error) => this.#log.error('redis supervision failed', { error }),
    );
  }

  /** Undefined once Redis has answered, else why it did not. */
  async #answers(): Promise<string | undefined> {
    let deadline = Date.now() + answerMs;
    while (!this.#abort.signal.aborted) {
      const reply = await askRedis(this.#layout.socket, 'PING', 1_000);
      const loading = reply?.startsWith('-LOADING') ?? false;
      // Any other error, such as MISCONF with a full disk, is an answer too.
      if (reply !== undefined && !loading) return undefined;
      if (loading) deadline = Date.now() + answerMs;
      if (Date.now() > deadline) return `no answer in ${answerMs} ms`;
      await sleep(loading ? 20 : 2);
    }
    return 'stopped';
  }

  async #lastWords(): Promise<string> {
    const text = await readFile(this.#layout.log, 'utf8').catch(() => '');
    // ` # ` marks a warning; the rest is chatter.
    const words = text.split('\n').filter((line) => line.includes(' # '));
    return [`, see ${this.#layout.log}`, ...words.slice(-3)].join('\n  ');
  }

  async #died(reason: string): Promise<void> {
    if (this.#state !== 'up') return;
    this.#state = 'down';
    if (Date.now() - this.#upSince > steadyMs) this.#backOffMs = firstBackOffMs;
    this.#log.error('redis ended', { reason, restartInMs: this.#backOffMs });
    this.#options.onDown?.(reason);
    while (this.#state === 'down' && !this.#abort.signal.aborted) await this.#again();
  }

  async #again(): Promise<void> {
    const { signal } = this.#abort;
    await sleep(this.#backOffMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    this.#backOffMs = Math.min(this.#backOffMs * 2, longestBackOffMs);
    try {
      await this.#launch();
    } catch (error) {
      if (!signal.aborted) this.#log.error('redis did not start again', { error });
      return;
    }
    this.#log.info('redis is up again', { pid: this.pid });
    this.#options.onUp?.();
  }

  async #finish(): Promise<void> {
    this.#abort.abort();
    await this.#starting?.catch(() => undefined);
    this.#state = 'stopping';
    clearInterval(this.#logTimer);
    const child = this.#child;
    if (child !== undefined && isRunning(child)) await this.#end(child);
    await this.#release();
  }

  async #end(child: ChildProcess): Promise<void> {
    const gone = once(child, 'exit');
    const stopMs = this.#options.stopTimeoutMs ?? defaultStopMs;
    // A Redis that refuses, hangs or is frozen loses nothing by a kill: what it acknowledged is on disk.
    const killer = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await askRedis(this.#layout.socket, 'SHUTDOWN', stopMs);
    await gone;
    clearTimeout(killer);
  }

  async #release(): Promise<void> {
    this.#state = 'idle';
    await this.#owner?.release();
    this.#owner = undefined;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Why the process ended; never rejects. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
    );
  });
}

/** In a container the limit of the container counts, which Node gives as 0 or as more than there is when none is set. */
function defaultMaxMemory(): number {
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.floor(memory * 0.6);
}
