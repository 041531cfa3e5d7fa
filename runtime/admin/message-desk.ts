import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import { checkTopicName, normaliseTopic } from '../pubsub/topic-name.ts';
import type { PublishReply } from './message-api.ts';
import { type RawMessage, rawMessage, standingOf } from './message-views.ts';
import type { BrokerPort, MessagesPort, OperatorMessage, TopicRules } from './ports.ts';
import { QueueOwners, type QueueSources } from './queue-owners.ts';

export interface MessageDeskOptions extends QueueSources {
  readonly broker: BrokerPort;
  /** What holds for a defined topic; undefined for any other. */
  readonly topic: (name: string) => TopicRules | undefined;
}

/** Whom a message says it is from when an administrator published it. */
const operatorName = 'operator';

/** An administrator's way to publish messages, and to look at one. */
export class MessageDesk implements MessagesPort {
  readonly #options: MessageDeskOptions;
  readonly #owners: QueueOwners;

  constructor(options: MessageDeskOptions) {
    this.#options = options;
    this.#owners = new QueueOwners(options);
  }

  async publish(message: OperatorMessage): Promise<PublishReply> {
    checkTopicName(message.topic);
    const topic = normaliseTopic(message.topic);
    const rules = this.#options.topic(topic);
    if (rules?.enabled === false) throw new Fault('conflict', `Topic ${topic} is disabled`);
    const { data, cid, contentType, expiration, ...rest } = message;
    const { priority = rules?.priority } = message;
    // As for what programs publish (Zato 4.x).
    const { correlId = cid } = message;
    const expirationMs =
      expiration === undefined ? rules?.expirationMs : Math.ceil(parseDuration(expiration));
    const { msgId, queues, duplicate } = await this.#options.broker.publish({
      ...rest,
      ...{ topic, data, cid, correlId, contentType, publisher: operatorName },
      ...(priority === undefined ? {} : { priority }),
      ...(expirationMs === undefined ? {} : { expirationMs }),
      ...(rules === undefined ? { counted: false } : {}),
      ...(rules?.maxSize === undefined ? {} : { maxSize: rules.maxSize }),
    });
    return { msgId, queues, cid, duplicate };
  }

  async show(msgId: string): Promise<RawMessage> {
    const found = await this.#options.broker.find(msgId);
    const [first] = found;
    if (first === undefined) throw new Fault('not-found', `No queue holds a message ${msgId}`);
    const nameOf = this.#owners.names();
    const standings = found.map((one) => standingOf(one, nameOf(one.subKey)));
    return rawMessage(first, { standings });
  }
}
