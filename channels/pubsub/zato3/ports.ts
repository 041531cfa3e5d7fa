import type { Broker } from '../../../runtime/pubsub/broker.ts';
import type { EndpointPublication, Subscribed } from '../../../runtime/pubsub/endpoint-broker.ts';
import type { Lease, Published } from '../../../runtime/pubsub/message.ts';
import type { SubscriptionRoute } from '../../../runtime/pubsub/route-table.ts';

/** What the door needs of the broker. */
export interface BrokerPort extends Pick<Broker, 'take'> {
  /** True per lease; false where it was no longer held. */
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]>;
  reject(
    subKey: string,
    rejections: readonly (Lease & { readonly countFailure: false })[],
  ): Promise<unknown>;
}

/** What endpoints may do with topics, and their queues. */
export interface EndpointBrokerPort {
  /** @throws Fault `forbidden` */
  permit(operation: 'publish' | 'subscribe', topic: string, endpoint: string): void;
  publish(publication: EndpointPublication, endpoint: string): Promise<Published>;
  subscribe(topic: string, endpoint: string): Promise<Subscribed>;
  unsubscribe(topic: string, endpoint: string): Promise<boolean>;
  queueOf(topic: string, endpoint: string): Promise<SubscriptionRoute>;
}

/** Who a caller is, by the name of its security definition. */
export interface EndpointsPort {
  bySecurity(security: string): { readonly name: string } | undefined;
}
