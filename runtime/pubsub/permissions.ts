import type { PermissionSpec } from './permission-definition.ts';
import { compilePattern, type TopicPattern } from './topic-pattern.ts';

export type Operation = 'publish' | 'subscribe';

/** A definition, as far as permissions need it. */
interface Named<T> {
  readonly name: string;
  readonly spec: T;
}

/** Why a security definition may or may not. */
export interface Explanation {
  readonly allowed: boolean;
  /** What matched first. */
  readonly pattern?: string;
  /** The permission definition that has it. */
  readonly permission?: string;
  /** A sentence. */
  readonly why: string;
}

const maxRemembered = 20_000;

/** Who may publish to and subscribe to which topics. What no definition allows is denied. */
export class Permissions {
  #clients: ReadonlyMap<string, Client> = new Map();
  #subscribers: ReadonlySet<string> = new Set();
  readonly #verdicts = new Map<string, boolean>();

  /** Takes all definitions there are; subscriptions only tell who is a client. */
  update(
    permissions: readonly Named<PermissionSpec>[],
    subscriptions: readonly Named<{ readonly security?: string | undefined }>[] = [],
  ): void {
    const clients = new Map<string, Client>();
    for (const permission of permissions) {
      const { security } = permission.spec;
      const client = clients.get(security) ?? new Client();
      client.definitions.push(permission);
      clients.set(security, client);
    }
    this.#clients = clients;
    this.#subscribers = new Set(
      subscriptions.flatMap(({ spec }) => (spec.security === undefined ? [] : [spec.security])),
    );
    this.#verdicts.clear();
  }

  may(security: string, operation: Operation, topic: string): boolean {
    const key = `${operation} ${security} ${topic}`;
    const known = this.#verdicts.get(key);
    if (known !== undefined) return known;
    const allowed = this.#clients.get(security)?.rules(operation).find(topic) !== undefined;
    if (this.#verdicts.size >= maxRemembered) this.#verdicts.clear();
    this.#verdicts.set(key, allowed);
    return allowed;
  }

  /** Exact topics come before wildcards, and each kind in alphabetical order. */
  explain(security: string, operation: Operation, topic: string): Explanation {
    const client = this.#clients.get(security);
    if (!client) return { allowed: false, why: `no permission names security ${security}` };
    const rule = client.rules(operation).find(topic);
    if (!rule) {
      const names = client.definitions.map(({ name }) => name).sort();
      const why = `no ${operation} pattern of permission ${names.join(', ')} matches ${topic}`;
      return { allowed: false, why };
    }
    const { pattern, permission } = rule;
    const why = `${operation} pattern ${pattern.text} of permission ${permission} matches ${topic}`;
    return { allowed: true, pattern: pattern.text, permission, why };
  }

  /** Whether a permission or a subscription names it: others are strangers to publish/subscribe. */
  knows(security: string): boolean {
    return this.#clients.has(security) || this.#subscribers.has(security);
  }
}

/** The permissions of one security definition; patterns are compiled when first asked for. */
class Client {
  readonly definitions: Named<PermissionSpec>[] = [];
  readonly #rules = new Map<Operation, Rules>();

  rules(operation: Operation): Rules {
    let rules = this.#rules.get(operation);
    if (!rules) {
      rules = new Rules(this.definitions, operation);
      this.#rules.set(operation, rules);
    }
    return rules;
  }
}

interface Rule {
  readonly pattern: TopicPattern;
  readonly permission: string;
}

class Rules {
  readonly #exact = new Map<string, Rule>();
  readonly #wildcards: readonly Rule[];

  constructor(definitions: readonly Named<PermissionSpec>[], operation: Operation) {
    const rules = definitions
      .toSorted((a, b) => compare(a.name, b.name))
      .flatMap(({ name, spec }) =>
        spec[operation].map((text) => ({ pattern: compilePattern(text), permission: name })),
      );
    for (const rule of rules) {
      const { text, wildcard } = rule.pattern;
      if (!wildcard && !this.#exact.has(text)) this.#exact.set(text, rule);
    }
    this.#wildcards = rules
      .filter(({ pattern }) => pattern.wildcard)
      .sort((a, b) => compare(a.pattern.text, b.pattern.text));
  }

  find(topic: string): Rule | undefined {
    return this.#exact.get(topic) ?? this.#wildcards.find(({ pattern }) => pattern.matches(topic));
  }
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
