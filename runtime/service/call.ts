import type { WsxSession } from './wsx.ts';

/** The HTTP side of a request, where there is one. */
export interface HttpRequest {
  readonly method: string;
  /** The path as sent, without the query. */
  readonly path: string;
  /** Values of the channel's `{params}`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The query; a name given several times is a list. */
  readonly query: Readonly<Record<string, string | readonly string[]>>;
  /** Header names are lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Name of the security definition that let the caller in. */
  readonly user?: string;
}

/** The message that a call delivers. Times are ms since 1970 by Redis' clock. */
export interface ReceivedMessage {
  readonly msgId: string;
  /** In lower case; `zato.s.to.<service>` for what was published to a service. */
  readonly topic: string;
  /** 0-9; 9 is delivered first. */
  readonly priority: number;
  readonly cid: string;
  /** Name of the service or of the security definition that published it. */
  readonly publisher?: string;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  /** The publisher's own time, as it was given. */
  readonly pubTime?: string;
  readonly receivedAt: number;
  readonly expiresAt: number;
  /** How often it was handed out, this time included: from 1. */
  readonly deliveryCount: number;
  /** An earlier delivery failed, or did not say how it ended: what it did may have been done. */
  readonly redelivered: boolean;
  /** Of the subscription it comes from. */
  readonly subKey: string;
  readonly contentType: string;
  /** The bytes as they were published: where numbers are too big for JavaScript, read these. */
  readonly data: Buffer;
}

/** One call of a service, as a door or another service makes it. */
export interface Call {
  readonly cid: string;
  readonly service: string;
  /** What the service's IO is checked against; from a channel it is merged from body, query and path. */
  readonly input: unknown;
  /** The request as it came: the body's text from HTTP, the very value from `invoke`, a message's data. */
  readonly rawRequest: unknown;
  readonly http?: HttpRequest;
  readonly message?: ReceivedMessage;
  /** The WebSocket client that called, here or further up the chain. */
  readonly wsx?: WsxSession;
  /** Of the message that is being handled, here or further up the chain; absent outside of one. */
  readonly hops?: number;
  /** Services already being called, outermost first; absent at a door. */
  readonly chain?: readonly string[];
  /** Overrides the service's own timeout when shorter. */
  readonly timeoutMs?: number;
  /** Aborted when the caller gave up. */
  readonly signal?: AbortSignal;
}

/** What a service answered. `payload` has passed the output filter and is not serialised yet. */
export interface Reply {
  readonly payload: unknown;
  /** 200 unless the service said otherwise. */
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Set by the service, else undefined: the door decides. */
  readonly contentType: string | undefined;
}
