import type { EndpointSpec } from './endpoint-definition.ts';
import type { Operation } from './permissions.ts';
import type { Subscription } from './routes.ts';
import { compilePattern, type TopicPattern } from './topic-pattern.ts';

/** A definition, as far as its rules go. */
interface EndpointDefinition {
  readonly name: string;
  readonly spec: EndpointSpec;
}

/** The endpoints as they are defined now, and what each may do. */
export class Endpoints {
  #byName: ReadonlyMap<string, Endpoint> = new Map();
  #bySecurity: ReadonlyMap<string, Endpoint> = new Map();

  /** From now on exactly these count. */
  update(definitions: readonly EndpointDefinition[]): void {
    const endpoints = definitions.map(({ name, spec }) => new Endpoint(name, spec));
    this.#byName = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]));
    this.#bySecurity = new Map(
      endpoints.flatMap((endpoint) =>
        endpoint.security === undefined ? [] : [[endpoint.security, endpoint] as const],
      ),
    );
  }

  get(name: string): Endpoint | undefined {
    return this.#byName.get(name);
  }

  /** Who logs in with this security definition. */
  bySecurity(security: string): Endpoint | undefined {
    return this.#bySecurity.get(security);
  }

  /** Whether what a program subscribed to may still reach it; the operator's own always may. */
  mayReceive(facts: Subscription['facts'] | undefined, topic: string): boolean {
    const name = facts?.['endpoint'];
    return name === undefined || this.get(name)?.match('subscribe', topic) !== undefined;
  }
}

/** One party of Zato 3.x. */
export class Endpoint {
  readonly name: string;
  readonly security: string | undefined;
  readonly #patterns: Readonly<Record<Operation, readonly TopicPattern[]>>;

  constructor(name: string, { role, security, publish, subscribe }: EndpointSpec) {
    this.name = name;
    this.security = security;
    this.#patterns = {
      publish: role === 'sub-only' ? [] : publish.map(compiled),
      subscribe: role === 'pub-only' ? [] : subscribe.map(compiled),
    };
  }

  /** The first pattern that lets it; undefined when none does. */
  match(operation: Operation, topic: string): string | undefined {
    return this.#patterns[operation].find((pattern) => pattern.matches(topic))?.text;
  }
}

function compiled(text: string): TopicPattern {
  return compilePattern(text, '/');
}
