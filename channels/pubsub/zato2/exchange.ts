import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import { checkTopicName, normaliseTopic } from '../../../runtime/pubsub/topic-name.ts';
import type { Authenticator } from '../../../runtime/security/authenticator.ts';
import { parseBasic } from '../../../runtime/security/basic-credentials.ts';
import type { Answer } from '../rest/answer.ts';
import { RestExchange, type RestHost } from '../rest/rest-exchange.ts';
import { answerOf, errorAnswer, type Format, faultAnswer, notAuthorized } from './answer.ts';
import { formatOf } from './options.ts';
import type { Place } from './place.ts';
import type {
  BrokerPort,
  ConsumerSubscription,
  PermissionsPort,
  SubscriptionsPort,
  TopicsPort,
} from './ports.ts';

/** What all exchanges of a door share. */
export interface ExchangeHost extends RestHost {
  readonly broker: BrokerPort;
  readonly permissions: PermissionsPort;
  readonly topics: TopicsPort;
  readonly subscriptions: SubscriptionsPort;
  readonly authenticator: Pick<Authenticator, 'identify'>;
}

/** One request to the door, and its reply. */
export class Exchange extends RestExchange<ExchangeHost> {
  readonly place: Place;
  /** Of the methods of this place; for a refusal. */
  allowed = 'POST, DELETE';
  format: Format = 'json';

  constructor(host: ExchangeHost, req: IncomingMessage, res: ServerResponse, place: Place) {
    super(host, req, res);
    this.place = place;
  }

  /** The name of the caller's security definition. */
  get security(): string {
    return this.caller ?? '';
  }

  /** @throws Fault `unauthorized`; `too-many` */
  async authenticate(): Promise<void> {
    const credentials = parseBasic(this.req.headers.authorization);
    if (!credentials) throw new Fault('unauthorized', notAuthorized);
    const { name } = await this.host.authenticator.identify(credentials);
    this.caller = name;
  }

  /** @throws Fault `bad-request` */
  readFormat(): void {
    this.format = formatOf(this.place.query);
  }

  /** The topic the request names. @throws Fault `forbidden` for what no topic is called */
  topicName(): string {
    const { item } = this.place;
    this.topic = item;
    try {
      checkTopicName(item);
    } catch {
      throw new Fault('forbidden', notAuthorized);
    }
    return normaliseTopic(item);
  }

  /** @throws Fault `forbidden` */
  permit(action: 'publish' | 'subscribe', topic: string): void {
    if (this.host.permissions.may(this.security, action, topic)) return;
    throw new Fault('forbidden', notAuthorized);
  }

  /** Whether the header names the caller's own subscription. */
  names(subscription: ConsumerSubscription | undefined): subscription is ConsumerSubscription {
    return subscription !== undefined && this.#subKey === subscription.subKey;
  }

  /** Zato 2.0 has no better status for it. */
  sendInvalidSubKey(): void {
    const hint = this.#subKey === '' ? ': the header X-Zato-PubSub-Key is missing' : '';
    this.sendError(`Invalid sub_key \`${this.#subKey.slice(0, 100)}\`${hint}`, 500);
  }

  sendValue(value: unknown): void {
    this.send(answerOf(value, this.format));
  }

  sendError(details: string, status: number): void {
    this.send(errorAnswer(details, this.format, status));
  }

  protected override refusal(fault: Fault): Answer {
    const answer = faultAnswer(fault, this.format, this.allowed);
    // Too many strangers at the door is no trouble of the queues.
    const atTheDoor = fault.code === 'too-many' && this.caller === undefined;
    return atTheDoor ? { ...answer, status: 429 } : answer;
  }

  get #subKey(): string {
    const given = this.req.headers['x-zato-pubsub-key'];
    return typeof given === 'string' ? given : '';
  }
}
