import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Audit,
  audit,
  type Delivering,
  type Publishing,
  readDeliverings,
  readPublishings,
} from '../support/ledger.ts';
import type { DelivererOrder } from './programs/deliverer.ts';
import type { PublisherOrder } from './programs/publisher.ts';
import type { SubscriberOrder } from './programs/subscriber.ts';

/** A process of the test's own that is started again whenever it is killed, until its work is done. */
class Member {
  readonly #program: string;
  readonly #order: unknown;
  #child: ChildProcess;
  #dismissed = false;
  /** Its work is done, or it was dismissed. */
  readonly finished: Promise<void>;

  constructor(program: string, order: unknown) {
    this.#program = program;
    this.#order = order;
    this.#child = this.#start();
    this.finished = this.#supervise();
    this.finished.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Ends it for good. */
  async dismiss(): Promise<void> {
    this.#dismissed = true;
    this.#child.kill('SIGKILL');
    await this.finished;
  }

  #start(): ChildProcess {
    const file = fileURLToPath(new URL(`./programs/${this.#program}.js`, import.meta.url));
    return spawn(process.execPath, ['--enable-source-maps', file, JSON.stringify(this.#order)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  async #supervise(): Promise<void> {
    for (;;) {
      const [code, signal] = await once(this.#child, 'exit');
      if (code === 0 || this.#dismissed) return;
      if (signal !== 'SIGKILL') throw new Error(`${this.#program} ended: ${code ?? signal}`);
      this.#child = this.#start();
    }
  }
}

/** Publishing and consuming processes over one Redis, and the ledgers they write. */
export class Crew {
  readonly dir: string;
  readonly #redis: string;
  readonly #publishers: Member[] = [];
  readonly #subscribers: Member[] = [];
  readonly #published: string[] = [];
  readonly #delivered: string[] = [];

  private constructor(redis: string, dir: string) {
    this.#redis = redis;
    this.dir = dir;
  }

  static async hire(redis: string): Promise<Crew> {
    return new Crew(redis, await mkdtemp(join(tmpdir(), 'hence-test-ledger-')));
  }

  publisher(order: Partial<PublisherOrder> & Pick<PublisherOrder, 'count'>): void {
    const number = this.#publishers.length;
    const ledger = join(this.dir, `publisher-${number}`);
    this.#published.push(ledger);
    const whole: PublisherOrder = {
      ...{ redis: this.#redis, ledger, prefix: `p${number}-`, concurrency: 32 },
      ...{ topics: ['ledger'], keyed: true, chunk: 100 },
      ...order,
    };
    this.#publishers.push(new Member('publisher', whole));
  }

  subscriber(order: Partial<SubscriberOrder> & Pick<SubscriberOrder, 'subKeys'>): void {
    const ledger = join(this.dir, `subscriber-${this.#subscribers.length}`);
    this.#delivered.push(ledger);
    const whole: SubscriberOrder = {
      ...{ redis: this.#redis, ledger, batch: 50, leaseMs: 2_000, workMs: 0, ackFirst: false },
      ...order,
    };
    this.#subscribers.push(new Member('subscriber', whole));
  }

  deliverer(order: Partial<DelivererOrder> & Pick<DelivererOrder, 'subKey'>): void {
    const ledger = join(this.dir, `subscriber-${this.#subscribers.length}`);
    this.#delivered.push(ledger);
    const whole: DelivererOrder = {
      ...{ redis: this.#redis, ledger, concurrency: 10, maxDeliveries: 20, workMs: 0 },
      ...order,
    };
    this.#subscribers.push(new Member('deliverer', whole));
  }

  /** The consumer that wrote the last delivery down. */
  get busiest(): Member | undefined {
    const times = this.#delivered.map((path) => statSync(path).mtimeMs);
    return this.#subscribers[times.indexOf(Math.max(...times))];
  }

  get publishers(): readonly Member[] {
    return this.#publishers;
  }

  get members(): readonly Member[] {
    return [...this.#publishers, ...this.#subscribers];
  }

  /** All publishers have every key acknowledged. */
  async published(): Promise<void> {
    await Promise.all(this.#publishers.map(({ finished }) => finished));
  }

  audit(subKeys: readonly string[], dead?: ReadonlySet<string>): Audit {
    return audit({
      published: this.publishings,
      delivered: this.deliverings,
      subKeys,
      ...(dead ? { dead } : {}),
    });
  }

  /** All that the publishers wrote down so far. */
  get publishings(): readonly Publishing[] {
    return this.#published.flatMap(readPublishings);
  }

  /** All that the subscribers wrote down so far. */
  get deliverings(): readonly Delivering[] {
    return this.#delivered.flatMap(readDeliverings);
  }

  async dismiss(): Promise<void> {
    await Promise.all(this.members.map((member) => member.dismiss().catch(() => undefined)));
    await rm(this.dir, { recursive: true, force: true });
  }
}
