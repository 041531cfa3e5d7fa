import { connect, type Socket } from 'node:net';
import process from 'node:process';

export interface LoadOrder {
  readonly port: number;
  readonly paths: readonly string[];
  readonly body: string;
  /** More headers: `Name: value`. */
  readonly headers?: readonly string[];
  /** What every reply has to end with. */
  readonly expected: string;
  readonly connections: number;
  readonly ms: number;
}

export interface LoadAnswer {
  readonly done: number;
  readonly ms: number;
  /** Replies that were wrong and connections that broke; the first few in words. */
  readonly failed: number;
  readonly examples: readonly string[];
}

/*
 * A client that costs less than the server it loads: plain sockets, requests made once, one request
 * in flight per connection.
 */

class Run {
  readonly #order: LoadOrder;
  readonly #requests: readonly Buffer[];
  readonly #startedAt = performance.now();
  readonly #until: number;
  #next = 0;
  #done = 0;
  #failed = 0;
  readonly #examples: string[] = [];

  constructor(order: LoadOrder) {
    this.#order = order;
    this.#requests = order.paths.map((path) => requestOf(path, order));
    this.#until = this.#startedAt + order.ms;
  }

  async finish(): Promise<LoadAnswer> {
    const all = Array.from({ length: this.#order.connections }, () => this.#connection());
    await Promise.all(all);
    const ms = performance.now() - this.#startedAt;
    return { done: this.#done, ms, failed: this.#failed, examples: this.#examples };
  }

  #connection(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(this.#order.port, '127.0.0.1', () => this.#send(socket));
      let reply = '';
      socket.setNoDelay(true);
      socket.setEncoding('latin1');
      socket.on('data', (chunk: string) => {
        reply = reply === '' ? chunk : reply + chunk;
        const length = lengthOf(reply);
        if (length === undefined || reply.length < length) return;
        this.#judge(reply);
        reply = '';
        if (performance.now() < this.#until) this.#send(socket);
        else socket.end();
      });
      socket.on('error', (error) => this.#fail(error.message));
      socket.on('close', () => {
        if (performance.now() < this.#until) this.#fail('The connection closed');
        resolve();
      });
    });
  }

  #send(socket: Socket): void {
    const request = this.#requests[this.#next++ % this.#requests.length];
    if (request) socket.write(request);
  }

  #judge(reply: string): void {
    this.#done++;
    if (reply.startsWith('HTTP/1.1 200 ') && reply.endsWith(this.#order.expected)) return;
    this.#fail(reply);
  }

  #fail(example: string): void {
    this.#failed++;
    if (this.#examples.length < 3) this.#examples.push(example.slice(0, 400));
  }
}

function requestOf(path: string, { body, headers = [] }: LoadOrder): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...headers,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** Of the whole reply, once its head is there. */
function lengthOf(reply: string): number | undefined {
  const head = reply.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const match = /\r\ncontent-length: *(\d+)/i.exec(reply);
  return head + 4 + Number(match?.[1] ?? 0);
}

process.on('message', (order: LoadOrder) => {
  void new Run(order).finish().then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
