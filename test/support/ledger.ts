import { appendFileSync, closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/** How one try to publish ended. Unknown: it may have happened. */
export type Outcome = 'acked' | 'unknown' | 'refused';

/** A file that processes append to before they go on, so that a kill -9 takes no line back. */
export class LedgerFile {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  add(...lines: readonly (readonly (string | number)[])[]): void {
    writeSync(this.#file, lines.map((fields) => `${fields.join(' ')}\n`).join(''));
  }

  close(): void {
    closeSync(this.#file);
  }
}

export interface Publishing {
  readonly key: string;
  readonly outcome: Outcome;
  readonly msgId: string;
  /** When it was known, in ms since 1970. */
  readonly at: number;
}

export interface Delivering {
  readonly subKey: string;
  readonly msgId: string;
  readonly deliveries: number;
  readonly key: string;
}

export interface Audit {
  /** Keys that were acknowledged. */
  readonly acked: number;
  /** Keys with a try whose outcome was unknown. */
  readonly unknown: number;
  /** `subKey key` of what was acknowledged, and neither delivered nor dead. */
  readonly lost: readonly string[];
  /** Message ids that some subscriptions got and others did not. */
  readonly partial: readonly string[];
  /** Keys that became more than one message. */
  readonly twice: readonly string[];
  /** Deliveries beyond the first of a message to a subscription. */
  readonly duplicates: number;
  /** `subKey msgId` of messages that came more than once as if for the first time. */
  readonly unflagged: readonly string[];
}

export interface Books {
  readonly published: readonly Publishing[];
  readonly delivered: readonly Delivering[];
  /** `subKey msgId` of dead letters. */
  readonly dead?: ReadonlySet<string>;
  readonly subKeys: readonly string[];
}

export function readPublishings(path: string): readonly Publishing[] {
  return rows(path).map(([key = '', outcome, msgId = '', at]) => ({
    key,
    outcome: outcome as Outcome,
    msgId,
    at: Number(at),
  }));
}

export function readDeliverings(path: string): readonly Delivering[] {
  return rows(path).map(([subKey = '', msgId = '', deliveries, key = '']) => ({
    subKey,
    msgId,
    deliveries: Number(deliveries),
    key,
  }));
}

/** acked - delivered - dead = nothing; all or none; each key one message; each duplicate flagged. */
export function audit({ published, delivered, dead = new Set(), subKeys }: Books): Audit {
  const acked = new Map<string, string>();
  const unknown = new Set<string>();
  const ids = new Map<string, Set<string>>();
  for (const { key, outcome, msgId } of published) {
    if (outcome === 'unknown') unknown.add(key);
    if (outcome !== 'acked') continue;
    acked.set(key, msgId);
    put(ids, key, msgId);
  }
  const counts = new Map<string, Count>();
  const reached = new Map<string, Set<string>>();
  for (const { subKey, msgId, deliveries, key } of delivered) {
    const place = `${subKey} ${msgId}`;
    const count = counts.get(place) ?? { all: 0, first: 0 };
    count.all += 1;
    if (deliveries === 1) count.first += 1;
    counts.set(place, count);
    put(reached, msgId, subKey);
    put(ids, key, msgId);
  }
  for (const place of dead) {
    const [subKey = '', msgId = ''] = place.split(' ');
    put(reached, msgId, subKey);
  }
  return {
    acked: acked.size,
    unknown: unknown.size,
    lost: [...acked].flatMap(([key, msgId]) =>
      subKeys
        .filter((subKey) => !reached.get(msgId)?.has(subKey))
        .map((subKey) => `${subKey} ${key}`),
    ),
    partial: [...reached].filter(([, subs]) => subs.size < subKeys.length).map(([msgId]) => msgId),
    twice: [...ids].filter(([, found]) => found.size > 1).map(([key]) => key),
    duplicates: [...counts.values()].reduce((sum, { all }) => sum + all - 1, 0),
    unflagged: [...counts].filter(([, { first }]) => first > 1).map(([place]) => place),
  };
}

interface Count {
  all: number;
  /** Of those that said they were the first delivery. */
  first: number;
}

function put(map: Map<string, Set<string>>, key: string, value: string): void {
  const values = map.get(key);
  if (values) values.add(value);
  else map.set(key, new Set([value]));
}

function rows(path: string): string[][] {
  // Made when it is not there: a process may have been killed before its first line.
  appendFileSync(path, '');
  const text = readFileSync(path, 'utf8');
  // The last line of a killed process may be half.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '));
}
