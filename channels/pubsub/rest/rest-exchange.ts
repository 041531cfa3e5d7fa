import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import type { Logger } from '../../../runtime/log/logger.ts';
import { type Answer, wholeOf, write } from './answer.ts';
import { readBody } from './body.ts';
import { requestCid } from './request-cid.ts';

export interface RestHost {
  readonly log: Logger;
  /** Aborted when the door drains. */
  readonly draining: AbortSignal;
}

/** One request to a publish/subscribe door, and its reply; each door says how it answers a Fault. */
export abstract class RestExchange<Host extends RestHost = RestHost> {
  readonly host: Host;
  readonly req: IncomingMessage;
  readonly cid = requestCid();
  /** For the log. */
  protected topic: string | undefined;
  /** Name of the caller's security definition. */
  protected caller: string | undefined;
  readonly #res: ServerResponse;
  readonly #startedAt = performance.now();
  #answered = false;

  constructor(host: Host, req: IncomingMessage, res: ServerResponse) {
    this.host = host;
    this.req = req;
    this.#res = res;
  }

  body(): Promise<Buffer> {
    return readBody(this.req);
  }

  /** Aborts when the client leaves or the door drains. `forget` ends the watching. */
  leaving(): { readonly signal: AbortSignal; readonly forget: () => void } {
    const controller = new AbortController();
    const leave = () => controller.abort();
    const { draining } = this.host;
    draining.addEventListener('abort', leave);
    this.#res.once('close', leave);
    if (this.#res.destroyed || draining.aborted) leave();
    const forget = () => {
      draining.removeEventListener('abort', leave);
      this.#res.off('close', leave);
    };
    return { signal: controller.signal, forget };
  }

  /** Resolves with whether all of the reply was written before the client left. */
  async sendWhole(answer: Answer): Promise<boolean> {
    const written = wholeOf(this.req, this.#res);
    this.send(answer);
    return await written;
  }

  send(answer: Answer): void {
    this.#write(answer);
    if (this.host.log.debugging) {
      this.host.log.debug('pub/sub request served', this.#facts(answer.status));
    }
  }

  fail(thrown: unknown): void {
    const fault = Fault.from(thrown);
    if (this.#answered) {
      this.host.log.warn('pub/sub messages not settled', {
        ...this.#facts(undefined),
        reason: fault.message,
        error: fault.cause,
      });
      return;
    }
    const answer = this.refusal(fault);
    this.#write(answer);
    this.#log(fault, answer.status);
  }

  /** What the caller is told. */
  protected abstract refusal(fault: Fault): Answer;

  #write(answer: Answer): void {
    this.#answered = true;
    if (this.#res.destroyed) return;
    if (this.host.draining.aborted) this.#res.shouldKeepAlive = false;
    write(this.req, this.#res, answer);
  }

  #log(fault: Fault, status: number): void {
    const { log } = this.host;
    const facts = { ...this.#facts(status), code: fault.code, reason: fault.message };
    if (fault.code === 'internal') {
      log.error('pub/sub request failed', { ...facts, error: fault.cause ?? fault });
    } else if (fault.code === 'unavailable' || fault.code === 'timeout') {
      log.warn('pub/sub request failed', facts);
    } else if (log.debugging) {
      log.debug('pub/sub request failed', facts);
    }
  }

  #facts(status: number | undefined): Record<string, unknown> {
    return {
      cid: this.cid,
      method: this.req.method,
      path: this.req.url?.slice(0, 200),
      security: this.caller,
      topic: this.topic,
      status,
      ms: Math.round((performance.now() - this.#startedAt) * 100) / 100,
    };
  }
}
