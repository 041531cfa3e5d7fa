import type { Call, HttpRequest } from '../../runtime/service/call.ts';
import type { Channel } from './channel.ts';

export interface RequestFacts {
  readonly cid: string;
  readonly input: unknown;
  readonly rawRequest: unknown;
  readonly http: HttpRequest;
}

/** A request as the call of a channel's service. */
export class ChannelCall implements Call {
  readonly cid: string;
  readonly service: string;
  readonly input: unknown;
  readonly rawRequest: unknown;
  readonly http: HttpRequest;
  readonly timeoutMs: number;
  readonly #owner: { signal(): AbortSignal };

  constructor(owner: { signal(): AbortSignal }, channel: Channel, request: RequestFacts) {
    this.cid = request.cid;
    this.service = channel.service;
    this.input = request.input;
    this.rawRequest = request.rawRequest;
    this.http = request.http;
    this.timeoutMs = channel.timeoutMs;
    this.#owner = owner;
  }

  /**
   * Made at its first use: a signal costs as much as routing and parsing together. It is a class's
   * getter because one in an object literal gives V8 a new hidden class per call.
   */
  get signal(): AbortSignal {
    return this.#owner.signal();
  }
}
