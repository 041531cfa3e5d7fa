import type { EncodedData } from './message-data.ts';
import type { WsxSession } from './wsx.ts';

/** A message in the keys of Zato 3.0. Times are UTC, in ISO 8601 without a zone. */
export interface PubSubMessage {
  /** Deliveries before this one. */
  readonly delivery_count: number;
  /** Zato's word for what survives a restart only where its publisher asks: here all does. */
  readonly has_gd: boolean;
  readonly server_name: string;
  readonly topic_name: string;
  readonly pub_time_iso: string;
  readonly priority: number;
  readonly expiration_time_iso: string;
  /** In ms. */
  readonly expiration: number;
  readonly server_pid: number;
  /** Bytes of the data in UTF-8. */
  readonly size: number;
  /** The value of JSON, text, or the bytes of what is neither. */
  readonly data: unknown;
  readonly sub_key: string;
  readonly mime_type: string;
  /** With `needsMsgId`. */
  readonly msg_id?: string;
  readonly correl_id?: string;
  readonly in_reply_to?: string;
  readonly ext_client_id?: string;
  readonly ext_pub_time_iso?: string;
  /** With `needsBytes`: as it was published, for numbers that are too big for JavaScript. */
  readonly data_bytes?: Buffer;
  /** With `needsDetails`. */
  readonly [detail: string]: unknown;
}

export interface GetMessagesOptions {
  /** Adds what Zato keeps for itself: `pub_msg_id`, `recv_time`, `data_prefix` and so on. */
  readonly needsDetails?: boolean | undefined;
  readonly needsMsgId?: boolean | undefined;
  readonly needsBytes?: boolean | undefined;
}

export interface ReadMessagesOptions {
  /** Default 1, of 50 messages. */
  readonly curPage?: number | undefined;
  /** False: as many as there are, up to 1,000. */
  readonly paginate?: boolean | undefined;
  /** Text that the data holds. */
  readonly query?: string | undefined;
}

/** A message as a service publishes it; priority and expiration as they were given. */
export interface PubSubPublication extends EncodedData {
  /** A topic's name, or else a deployed service's. */
  readonly target: string;
  /** Given as a class: no topic is meant. */
  readonly targetIsService: boolean;
  readonly cid: string;
  readonly publisher: string;
  /** Messages that led to this one. */
  readonly hops: number;
  readonly priority?: unknown;
  /** In seconds. */
  readonly expiration?: unknown;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  /** ISO 8601. */
  readonly pubTime?: string;
  readonly idempotencyKey?: string;
  /** Who publishes; the runtime itself, which may do all, when absent. */
  readonly endpoint?: string;
}

/** What `this.pubsub` reaches. */
export interface PubSubPort {
  /** Whether a topic or a service has this name. */
  knows(target: string): boolean;
  /** Resolves with the id, `zpsm<24 hex>`, once the message is in every matching queue. */
  publish(publication: PubSubPublication): Promise<string>;
  /** Resolves with `zpsk.rest.<24 hex>`; always the same for an endpoint and a topic. */
  subscribe(topic: string, endpoint: string): Promise<string>;
  getMessages(
    topic: string,
    subKey: string,
    options: GetMessagesOptions,
  ): Promise<readonly PubSubMessage[]>;
  readMessages(
    topic: string,
    subKey: string,
    options: ReadMessagesOptions,
  ): Promise<readonly PubSubMessage[]>;
  readMessage(topic: string, msgId: string, subKey?: string): Promise<PubSubMessage>;
  deleteMessage(subKey: string, msgId: string): Promise<void>;
  createTopic(name: string, spec: { readonly enabled: boolean }): Promise<void>;
}

/** Subscriptions of WebSocket clients, as `this.pubsub` reaches them. */
export interface WsxPubSubPort {
  /**
   * Delivers the topic to the client from now on; resolves with `zpsk.websockets.<24 hex>`.
   * @param options.unsubOnClose its queue ends with the connection; else it waits to be resumed
   * @param options.ack `client`: the client says of each message that it is handled; else that it was sent is enough
   * @throws Fault `forbidden`, `not-found` as for any endpoint.
   */
  subscribe(
    session: WsxSession,
    topic: string,
    options: { readonly unsubOnClose: boolean; readonly ack?: 'client' },
  ): Promise<string>;
  /** Delivers a queue to the client again. @throws Fault `not-found`, `forbidden`, `conflict` */
  resume(session: WsxSession, subKey: string): Promise<void>;
}
