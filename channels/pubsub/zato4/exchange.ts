import { Fault } from '../../../runtime/core/fault.ts';
import type { Authenticator, Principal } from '../../../runtime/security/authenticator.ts';
import { parseBasic } from '../../../runtime/security/basic-credentials.ts';
import { type Answer, jsonAnswer } from '../rest/answer.ts';
import { RestExchange, type RestHost } from '../rest/rest-exchange.ts';
import { faultAnswer } from './answer.ts';
import type {
  BrokerPort,
  PermissionsPort,
  PullSubscription,
  SubscriptionsPort,
  TopicRules,
  TopicsPort,
} from './ports.ts';

/** What all exchanges of a door share. */
export interface ExchangeHost extends RestHost {
  readonly broker: BrokerPort;
  readonly permissions: PermissionsPort;
  readonly topics: TopicsPort;
  readonly subscriptions: SubscriptionsPort;
  readonly authenticator: Pick<Authenticator, 'identify' | 'challenge'>;
}

/** One request to the door, and its reply. */
export class Exchange extends RestExchange<ExchangeHost> {
  /** The name of the caller's security definition. */
  get security(): string {
    return this.caller ?? '';
  }

  /** @throws Fault `unauthorized` in the words of Zato 4; `too-many` */
  async authenticate(): Promise<void> {
    const { authenticator, permissions } = this.host;
    const credentials = parseBasic(this.req.headers.authorization);
    if (!credentials) throw new Fault('unauthorized', 'Authentication required');
    let principal: Principal;
    try {
      principal = await authenticator.identify(credentials);
    } catch (error) {
      throw isRefusal(error) ? invalidCredentials() : error;
    }
    this.caller = principal.name;
    if (!permissions.knows(principal.name)) throw invalidCredentials();
  }

  /** @throws Fault `unauthorized`: so says Zato 4, and not "forbidden". */
  permit(action: 'publish' | 'subscribe', topic: string): void {
    this.topic = topic;
    if (this.host.permissions.may(this.security, action, topic)) return;
    throw new Fault('unauthorized', 'Permission denied');
  }

  /** @throws Fault `forbidden` for a topic that is not there or not enabled. */
  rulesOf(topic: string): TopicRules {
    const rules = this.host.topics.get(topic);
    if (rules?.enabled) return rules;
    throw new Fault('forbidden', `Topic ${topic} is inactive`);
  }

  /** @throws Fault `unauthorized` for who has no subscription. */
  subscription(): PullSubscription {
    const subscription = this.host.subscriptions.bySecurity(this.security);
    if (subscription) return subscription;
    throw new Fault('unauthorized', 'No subscription found for user');
  }

  /** `{ is_ok, cid, ...fields, status }`, and what is ours behind. */
  answer(
    fields: Readonly<Record<string, unknown>>,
    extra: Readonly<Record<string, unknown>> = {},
  ): void {
    const body = { is_ok: true, cid: this.cid, ...fields, status: '200 OK', ...extra };
    this.send(jsonAnswer(JSON.stringify(body)));
  }

  protected override refusal(fault: Fault): Answer {
    return faultAnswer(fault, this.cid, this.host.authenticator.challenge(this.security));
  }
}

function isRefusal(error: unknown): boolean {
  return Fault.is(error) && error.code === 'unauthorized';
}

function invalidCredentials(): Fault {
  return new Fault('unauthorized', 'Invalid credentials');
}
