import { Agent } from 'node:http';
import process from 'node:process';
import { ask } from '../support/load.ts';

export type RedeployOrder =
  | { readonly start: { readonly url: string; readonly connections: number } }
  | { readonly stop: true };

export interface RedeployAnswer {
  readonly replies: number;
  /** A status that is not 200, or a connection that broke. */
  readonly failed: number;
  /** Replies of which one part is of another version than the rest. */
  readonly mixed: number;
  /** Replies older than an earlier one of the same connection. */
  readonly older: number;
  readonly examples: readonly string[];
}

/** What the service under redeploy answers: versions seen before and after its await. */
interface Versions {
  /** Of the class, of the helper it was loaded with, and of the helper it calls. */
  readonly before: readonly [number, number, number];
  readonly after: readonly [number, number, number];
}

/* Keep-alive connections, one request after another on each, until told to stop. */

class Clients {
  readonly #url: string;
  readonly #all: readonly Promise<void>[];
  #running = true;
  #replies = 0;
  #failed = 0;
  #mixed = 0;
  #older = 0;
  readonly #examples: string[] = [];

  constructor(url: string, connections: number) {
    this.#url = url;
    this.#all = Array.from({ length: connections }, () => this.#client());
  }

  async stop(): Promise<RedeployAnswer> {
    this.#running = false;
    await Promise.all(this.#all);
    return {
      replies: this.#replies,
      failed: this.#failed,
      mixed: this.#mixed,
      older: this.#older,
      examples: this.#examples,
    };
  }

  async #client(): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let newest = 0;
    while (this.#running) {
      try {
        const reply = await ask(this.#url, agent);
        this.#replies++;
        if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body}`);
        newest = this.#judge(reply.body, newest);
      } catch (error) {
        this.#failed++;
        this.#example(String(error));
      }
    }
    agent.destroy();
  }

  #judge(text: string, newest: number): number {
    const { before, after } = JSON.parse(text) as Versions;
    const sameHelper = before[1] === before[2];
    if (!sameHelper || before.some((version, at) => version !== after[at])) {
      this.#mixed++;
      this.#example(`mixed: ${text}`);
    }
    if (before[0] < newest) {
      this.#older++;
      this.#example(`older than ${newest}: ${text}`);
    }
    return Math.max(newest, before[0]);
  }

  #example(text: string): void {
    if (this.#examples.length < 3) this.#examples.push(text.slice(0, 400));
  }
}

let clients: Clients | undefined;
process.on('message', (order: RedeployOrder) => {
  if ('start' in order) {
    clients = new Clients(order.start.url, order.start.connections);
    process.send?.('started');
    return;
  }
  void clients?.stop().then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
