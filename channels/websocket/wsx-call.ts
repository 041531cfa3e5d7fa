import type { Fault } from '../../runtime/core/fault.ts';
import type { Call } from '../../runtime/service/call.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';

/** What a frame asks for. */
export interface Wish {
  readonly service: string;
  readonly input: unknown;
  /** Its exact JSON text; undefined when there is none. */
  readonly text: string | undefined;
}

/** A frame as the call of a service. */
export class WsxCall implements Call {
  readonly cid: string;
  readonly service: string;
  readonly input: unknown;
  readonly rawRequest: unknown;
  readonly timeoutMs: number;
  readonly wsx: WsxSession;
  readonly startedAt = performance.now();
  #abort: AbortController | undefined;
  #gone: Fault | undefined;

  constructor(session: WsxSession, wish: Wish, limits: { cid: string; timeoutMs: number }) {
    this.cid = limits.cid;
    this.service = wish.service;
    this.input = wish.input === undefined ? {} : wish.input;
    this.rawRequest = wish.text ?? '';
    this.timeoutMs = limits.timeoutMs;
    this.wsx = session;
  }

  /** Made at its first use, as few services look at it. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#gone) this.#abort.abort(this.#gone);
    return this.#abort.signal;
  }

  giveUp(reason: Fault): void {
    this.#gone ??= reason;
    this.#abort?.abort(this.#gone);
  }
}
