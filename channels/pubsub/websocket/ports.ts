import type { Redis } from 'ioredis';
import type { Logger } from '../../../runtime/log/logger.ts';
import type { Broker } from '../../../runtime/pubsub/broker.ts';
import type { EndpointBroker } from '../../../runtime/pubsub/endpoint-broker.ts';
import type { Endpoints } from '../../../runtime/pubsub/endpoints.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import type { FrameWriter } from './delivery-frame.ts';

/** What delivering takes of the broker. */
export type BrokerPort = Pick<
  Broker,
  | 'take'
  | 'ack'
  | 'reject'
  | 'extend'
  | 'browse'
  | 'leases'
  | 'unsubscribe'
  | 'subscriptions'
  | 'refresh'
>;

export type EndpointBrokerPort = Pick<EndpointBroker, 'publish' | 'subscribe' | 'find'>;
type EndpointsPort = Pick<Endpoints, 'get' | 'bySecurity'>;

export interface DeliveryLimits {
  /** Messages in one frame. */
  readonly maxBatch: number;
  /** Of the data in one frame; a message that is larger goes alone. */
  readonly maxBatchBytes: number;
  /** Messages handed out to one subscriber that are neither sent nor, where it says so itself, handled. */
  readonly window: number;
  /** How long such a message is its subscriber's own. */
  readonly leaseMs: number;
  /** A reader that takes nothing for so long is disconnected. */
  readonly stallMs: number;
  /** How often an empty queue is looked at although nothing woke its reader. */
  readonly lookMs: number;
  /** For frames that are on their way when a session ends. */
  readonly graceMs: number;
}

export const defaultDeliveryLimits: DeliveryLimits = {
  maxBatch: 100,
  maxBatchBytes: 256 * 1_024,
  window: 1_000,
  leaseMs: 30_000,
  stallMs: 30_000,
  lookMs: 25_000,
  graceMs: 1_000,
};

export interface WsxPubSubOptions {
  readonly broker: BrokerPort;
  readonly endpointBroker: EndpointBrokerPort;
  readonly endpoints: EndpointsPort;
  /** For commands; shared with others. */
  readonly redis: Redis;
  /** The broker's; default `hence`. */
  readonly namespace?: string;
  readonly log: Logger;
  readonly limits?: Partial<DeliveryLimits>;
  /** A process that has not been heard of for so long is taken for dead; default 30 s. */
  readonly deadMs?: number;
}

/** What all deliveries of a process share. */
export interface DeliveryHost {
  readonly broker: BrokerPort;
  readonly log: Logger;
  readonly limits: DeliveryLimits;
  readonly writer: FrameWriter;
  /** Whether a subscription that could not be read is this reader's all the same. */
  keeps(subKey: string, token: string): Promise<boolean>;
}

/** An answer of a client: WebSocket channels pass on what is for nobody else. */
export interface ClientResponse {
  readonly inReplyTo: string;
  readonly data: unknown;
}

/** A frame for one of the platform's own services, as gateways pass it on. */
export interface GatewayRequest {
  readonly cid: string;
  readonly session: WsxSession;
  readonly request: unknown;
  /** Its exact JSON text. */
  readonly text: string | undefined;
}

export type GatewayService = (request: GatewayRequest) => Promise<unknown>;
