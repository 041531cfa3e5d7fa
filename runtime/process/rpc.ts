import { Fault, type FaultRecord, faultFromRecord, faultToRecord } from '../core/fault.ts';

/** Either end of a child process's IPC channel. */
export interface Channel {
  send(message: Message, handle: unknown, onSent: (error: Error | null) => void): void;
  listen(take: (message: Message, handle: unknown) => void): void;
}

export interface Message {
  readonly kind: 'request' | 'reply' | 'notice';
  readonly id: number;
  readonly method: string;
  readonly body?: unknown;
  readonly fault?: FaultRecord;
}

export type Handler = (body: never, handle: unknown) => unknown;

export interface RequestOptions {
  /** No answer by then is Fault `timeout`. */
  readonly timeoutMs: number;
  /** A socket or server handle to pass on. */
  readonly handle?: unknown;
}

interface Pending {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/** Requests, replies and notices between the control process and one worker. */
export class Rpc {
  readonly #channel: Channel;
  readonly #handlers: Readonly<Record<string, Handler>>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closed: Fault | undefined;

  constructor(channel: Channel, handlers: Readonly<Record<string, Handler>>) {
    this.#channel = channel;
    this.#handlers = handlers;
    channel.listen((message, handle) => this.#take(message, handle));
  }

  /** @throws Fault `timeout`, `unavailable` when the other end is gone, or what its handler threw. */
  request<T>(method: string, body: unknown, options: RequestOptions): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#settle(id)?.reject(
          new Fault('timeout', `No answer to "${method}" in ${options.timeoutMs} ms`),
        );
      }, options.timeoutMs);
      this.#pending.set(id, { resolve: resolve as (body: unknown) => void, reject, timer });
      this.#channel.send({ kind: 'request', id, method, body }, options.handle, (error) => {
        if (error)
          this.#settle(id)?.reject(new Fault('unavailable', error.message, { cause: error }));
      });
    });
  }

  /** Sends without waiting for anything; lost when the other end is gone. */
  notify(method: string, body: unknown): void {
    if (!this.#closed)
      this.#channel.send({ kind: 'notice', id: 0, method, body }, undefined, ignore);
  }

  /** Fails all that waits. */
  close(reason: string): void {
    this.#closed = new Fault('unavailable', reason);
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#closed);
  }

  #take(message: Message, handle: unknown): void {
    if (message.kind === 'reply') {
      const pending = this.#settle(message.id);
      if (message.fault) pending?.reject(faultFromRecord(message.fault));
      else pending?.resolve(message.body);
      return;
    }
    const answer = this.#run(message, handle);
    if (message.kind === 'request') answer.then((reply) => this.#reply(reply), ignore);
    else answer.catch(ignore);
  }

  async #run({ id, method, body }: Message, handle: unknown): Promise<Message> {
    try {
      const handler = this.#handlers[method];
      if (!handler) throw new Fault('internal', `No handler for "${method}"`);
      return { kind: 'reply', id, method, body: await handler(body as never, handle) };
    } catch (error) {
      return { kind: 'reply', id, method, fault: faultToRecord(error) };
    }
  }

  #reply(message: Message): void {
    if (!this.#closed) this.#channel.send(message, undefined, ignore);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }
}

function ignore(): void {
  // The other end is gone: its exit is handled where processes are supervised.
}
