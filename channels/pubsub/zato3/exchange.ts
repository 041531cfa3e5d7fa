import { Fault } from '../../../runtime/core/fault.ts';
import type { Authenticator } from '../../../runtime/security/authenticator.ts';
import { parseBasic } from '../../../runtime/security/basic-credentials.ts';
import { type Answer, jsonAnswer } from '../rest/answer.ts';
import { RestExchange, type RestHost } from '../rest/rest-exchange.ts';
import { faultAnswer } from './answer.ts';
import type { BrokerPort, EndpointBrokerPort, EndpointsPort } from './ports.ts';

/** What all exchanges of a door share. */
export interface ExchangeHost extends RestHost {
  readonly broker: BrokerPort;
  readonly endpoints: EndpointsPort;
  readonly endpointBroker: EndpointBrokerPort;
  readonly authenticator: Pick<Authenticator, 'identify'>;
}

/** One request to the door, and its reply. */
export class Exchange extends RestExchange<ExchangeHost> {
  #endpoint = '';

  /** The name of the caller's endpoint. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** The name of the caller's security definition. */
  get security(): string {
    return this.caller ?? '';
  }

  /** @throws Fault `unauthorized` for who has no endpoint; `too-many` */
  async authenticate(): Promise<void> {
    const { authenticator, endpoints } = this.host;
    const credentials = parseBasic(this.req.headers.authorization);
    if (!credentials) throw new Fault('unauthorized', 'Credentials are needed');
    const { name } = await authenticator.identify(credentials);
    this.caller = name;
    const endpoint = endpoints.bySecurity(name);
    if (!endpoint) throw new Fault('unauthorized', `Security ${name} has no endpoint`);
    this.#endpoint = endpoint.name;
  }

  /** For the log. */
  about(topic: string): void {
    this.topic = topic;
  }

  answer(fields: Readonly<Record<string, unknown>>): void {
    this.send(jsonAnswer(JSON.stringify(fields)));
  }

  protected override refusal(fault: Fault): Answer {
    return faultAnswer(fault, this.cid);
  }
}
