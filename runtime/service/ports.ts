import type { Redis } from 'ioredis';
import type { Logger } from '../log/logger.ts';
import type { PublishResult, ServicePublication } from './publication.ts';
import type { PubSubPort, WsxPubSubPort } from './pubsub-ports.ts';
import type { WsxClients } from './wsx.ts';

/** What was answered over an outgoing connection. Any status is a reply; only no reply is a Fault. */
export interface OutgoingReply {
  readonly status: number;
  /** True for 200-299. */
  readonly ok: boolean;
  /** Header names are lower case; a header sent several times is joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** The body parsed by the connection's data format (JSON, form), or the text. */
  readonly data: unknown;
  /** The body as JSON. Throws Fault `unavailable` naming the connection when it is not JSON. */
  json<T = unknown>(): T;
}

export interface OutgoingRequest {
  /** Fill the path's `{params}`; what the path does not name is added to the query. */
  readonly params?: Readonly<Record<string, string | number | boolean>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's total timeout when shorter. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** False: one try, whatever the connection's own retries say. For a caller that repeats by itself. */
  readonly retry?: boolean;
}

/**
 * Calls over one named connection. `data` may be a string, Buffer, URLSearchParams (sent as they are)
 * or a value (serialised by the connection's data format).
 * Every call throws Fault `unavailable` or `timeout`, naming the connection, when no reply came.
 */
export interface OutgoingCalls {
  /** Uses the connection's own method. */
  send(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply>;
  get(cid: string, request?: OutgoingRequest): Promise<OutgoingReply>;
  post(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply>;
  put(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply>;
  patch(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply>;
  delete(cid: string, request?: OutgoingRequest): Promise<OutgoingReply>;
  ping(cid: string): Promise<PingResult>;
}

export interface PingResult {
  readonly connection: string;
  readonly url: string;
  readonly ok: boolean;
  /** The status answered; absent when there was no answer. */
  readonly status?: number;
  readonly ms: number;
  /** Why it is not ok. */
  readonly error?: string;
}

/** What services reach beyond themselves. The roof gives it; tests give their own. */
export interface Ports {
  readonly log: Logger;
  /** @throws Fault `not-found` when no outgoing connection has this name. */
  outgoing(name: string): { readonly conn: OutgoingCalls };
  /** The user's Redis client: no prefix, made at its first use. */
  kvdb(): Redis;
  /**
   * Stores a call durably; resolves with its id once it is stored.
   * @param hops of the message being handled, to be given back with the call; undefined outside of one
   */
  invokeAsync(service: string, input: unknown, cid: string, hops?: number): Promise<string>;
  /** Resolves once the message is in every matching queue. @throws the broker's Faults. */
  publish(publication: ServicePublication): Promise<PublishResult>;
  /** Topics and queues as Zato 3.x has them; absent where there are none. */
  readonly pubsub?: PubSubPort;
  /** Subscriptions of WebSocket clients; absent where no channel can be. */
  readonly wsxPubsub?: WsxPubSubPort;
  /** The WebSocket clients of this process; absent where no channel can be. */
  readonly wsx?: WsxClients;
  /** Names Model classes where no loader does, as in an author's tests. */
  readonly modelName?: (Class: object) => string;
}
