import { randomBytes } from 'node:crypto';
import { newCid } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { toJson } from '../../runtime/core/to-json.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';
import type { Introduction } from './client-frame.ts';
import type { Outbox } from './outbox.ts';
import { requestFrame } from './server-frame.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** What a session is built on. */
export interface SessionBase {
  readonly channel: string;
  readonly security: string | undefined;
  readonly introduction: Introduction;
  readonly outbox: Outbox;
  readonly close: (code: number, reason: string) => void;
  readonly broadcast: (request: unknown) => number;
}

/** A client that is logged in. */
export class Session implements WsxSession {
  readonly id = `ws.${randomBytes(12).toString('hex')}`;
  readonly channel: string;
  readonly security: string | undefined;
  readonly clientId: string;
  readonly clientName: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly #outbox: Outbox;
  readonly #base: Pick<SessionBase, 'close' | 'broadcast'>;
  readonly #requests = new WaitingRequests();
  readonly #writable = new Set<() => void>();
  readonly #closing = new Set<(code: number) => void>();
  #closeCode: number | undefined;

  constructor(base: SessionBase) {
    this.channel = base.channel;
    this.security = base.security;
    this.clientId = base.introduction.clientId;
    this.clientName = base.introduction.clientName;
    this.attrs = base.introduction.attrs;
    this.#outbox = base.outbox;
    this.#base = base;
  }

  get open(): boolean {
    return this.#closeCode === undefined;
  }

  get bufferedAmount(): number {
    return this.#outbox.bytes;
  }

  get writable(): boolean {
    return this.open && !this.#outbox.full;
  }

  send(frame: object | string, sent?: (error?: Error) => void): boolean {
    if (!this.open) return false;
    return this.#outbox.offer(typeof frame === 'string' ? frame : toJson(frame), sent);
  }

  onWritable(listener: () => void): () => void {
    this.#writable.add(listener);
    return () => this.#writable.delete(listener);
  }

  onClose(listener: (code: number) => void): () => void {
    if (this.#closeCode === undefined) this.#closing.add(listener);
    else listener(this.#closeCode);
    return () => this.#closing.delete(listener);
  }

  close(code: number, reason: string): void {
    this.#base.close(code, reason);
  }

  async invoke(request: unknown, timeoutMs: number): Promise<unknown> {
    const id = newCid();
    const frame = requestFrame(id, request);
    if (!this.open) throw gone();
    const answer = this.#requests.wait(id, timeoutMs);
    if (!this.send(frame)) {
      this.#requests.fail(id, new Fault('unavailable', 'The WebSocket client does not read'));
    }
    return unwrapped(await answer);
  }

  broadcast(request: unknown): number {
    return this.#base.broadcast(request);
  }

  /** An answer of the client; false when no request waits for it. */
  answered(inReplyTo: string, data: unknown): boolean {
    return this.#requests.settle(inReplyTo, data);
  }

  /** There is room again for frames. */
  roomy(): void {
    for (const listener of [...this.#writable]) listener();
  }

  /** The end of the session, which may come before that of the connection. */
  end(code: number): void {
    if (this.#closeCode !== undefined) return;
    this.#closeCode = code;
    this.#requests.failAll(gone());
    this.#writable.clear();
    for (const listener of [...this.#closing]) listener(code);
    this.#closing.clear();
  }
}

function gone(): Fault {
  return new Fault('unavailable', 'The WebSocket client is gone');
}

/** Clients wrap what they answer: `{"response": ...}`. */
function unwrapped(data: unknown): unknown {
  const wrapped = typeof data === 'object' && data !== null && Object.hasOwn(data, 'response');
  return wrapped ? (data as { readonly response: unknown }).response : data;
}
