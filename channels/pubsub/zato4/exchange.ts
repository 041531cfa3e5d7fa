import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import type { Logger } from '../../../runtime/log/logger.ts';
import type { Authenticator, Principal } from '../../../runtime/security/authenticator.ts';
import { parseBasic } from '../../../runtime/security/basic-credentials.ts';
import { type Answer, faultAnswer, jsonAnswer, write } from './answer.ts';
import { readBody } from './body.ts';
import type {
  BrokerPort,
  PermissionsPort,
  PullSubscription,
  SubscriptionsPort,
  TopicRules,
  TopicsPort,
} from './ports.ts';
import { requestCid } from './request-cid.ts';

/** What all exchanges of a door share. */
export interface ExchangeHost {
  readonly broker: BrokerPort;
  readonly permissions: PermissionsPort;
  readonly topics: TopicsPort;
  readonly subscriptions: SubscriptionsPort;
  readonly authenticator: Pick<Authenticator, 'identify' | 'challenge'>;
  readonly log: Logger;
  /** Aborted when the door drains. */
  readonly draining: AbortSignal;
}

/** One request to the door, and its reply. */
export class Exchange {
  readonly host: ExchangeHost;
  readonly req: IncomingMessage;
  readonly cid = requestCid();
  readonly #res: ServerResponse;
  readonly #startedAt = performance.now();
  #security: string | undefined;
  #topic: string | undefined;
  #answered = false;

  constructor(host: ExchangeHost, req: IncomingMessage, res: ServerResponse) {
    this.host = host;
    this.req = req;
    this.#res = res;
  }

  /** The name of the caller's security definition. */
  get security(): string {
    return this.#security ?? '';
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
    this.#security = principal.name;
    if (!permissions.knows(principal.name)) throw invalidCredentials();
  }

  /** @throws Fault `unauthorized`: so says Zato 4, and not "forbidden". */
  permit(action: 'publish' | 'subscribe', topic: string): void {
    this.#topic = topic;
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

  body(): Promise<Buffer> {
    return readBody(this.req);
  }

  /** Aborts when the client leaves or the door drains. `forget` ends the watching. */
  leaving(): { readonly signal: AbortSignal; readonly forget: () => void } {
    const controller = new AbortController();
    const leave = () => controller.abort();
    const { draining } = this.host;
    draining.addEventListener('abort', leave);
    this.#res.once('close', leave);
    if (this.#res.destroyed || draining.aborted) leave();
    const forget = () => {
      draining.removeEventListener('abort', leave);
      this.#res.off('close', leave);
    };
    return { signal: controller.signal, forget };
  }

  /** `{ is_ok, cid, ...fields, status }`, and what is ours behind. */
  answer(
    fields: Readonly<Record<string, unknown>>,
    extra: Readonly<Record<string, unknown>> = {},
  ): void {
    const body = { is_ok: true, cid: this.cid, ...fields, status: '200 OK', ...extra };
    this.send(jsonAnswer(JSON.stringify(body)));
  }

  /** Resolves with whether all of the reply was written before the client left. */
  async sendWhole(answer: Answer): Promise<boolean> {
    const written = wholeOf(this.req, this.#res);
    this.send(answer);
    return await written;
  }

  send(answer: Answer): void {
    this.#write(answer);
    if (this.host.log.debugging) {
      this.host.log.debug('pub/sub request served', this.#facts(answer.status));
    }
  }

  fail(thrown: unknown): void {
    const fault = Fault.from(thrown);
    const challenge = this.host.authenticator.challenge(this.security);
    const answer = faultAnswer(fault, this.cid, challenge);
    if (this.#answered) {
      this.host.log.warn('pub/sub messages not settled', {
        ...this.#facts(undefined),
        reason: fault.message,
        error: fault.cause,
      });
      return;
    }
    this.#write(answer);
    this.#log(fault, answer.status);
  }

  #write(answer: Answer): void {
    this.#answered = true;
    if (this.#res.destroyed) return;
    if (this.host.draining.aborted) this.#res.shouldKeepAlive = false;
    write(this.req, this.#res, answer);
  }

  #log(fault: Fault, status: number): void {
    const { log } = this.host;
    const facts = { ...this.#facts(status), code: fault.code, reason: fault.message };
    if (fault.code === 'internal') {
      log.error('pub/sub request failed', { ...facts, error: fault.cause ?? fault });
    } else if (fault.code === 'unavailable' || fault.code === 'timeout') {
      log.warn('pub/sub request failed', facts);
    } else if (log.debugging) {
      log.debug('pub/sub request failed', facts);
    }
  }

  #facts(status: number | undefined): Record<string, unknown> {
    return {
      cid: this.cid,
      method: this.req.method,
      path: this.req.url?.slice(0, 200),
      security: this.#security,
      topic: this.#topic,
      status,
      ms: Math.round((performance.now() - this.#startedAt) * 100) / 100,
    };
  }
}

function isRefusal(error: unknown): boolean {
  return Fault.is(error) && error.code === 'unauthorized';
}

function invalidCredentials(): Fault {
  return new Fault('unauthorized', 'Invalid credentials');
}

/** Whether a reply gets out to its last byte: to the system, which is as far as we can see. */
function wholeOf({ socket }: IncomingMessage, res: ServerResponse): Promise<boolean> {
  if (res.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    // A write that a reset ends "finishes" too.
    res.once('finish', () => resolve(!socket.destroyed && !socket.errored));
    res.once('close', () => resolve(false));
  });
}
