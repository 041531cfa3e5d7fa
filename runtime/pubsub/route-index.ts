import type { SubscriptionRoute } from './route-table.ts';
import { compilePattern, type TopicPattern } from './topic-pattern.ts';

interface WildRoute {
  readonly pattern: TopicPattern;
  readonly subKey: string;
  readonly route: SubscriptionRoute;
}

interface Maps {
  readonly byKey: Map<string, SubscriptionRoute>;
  /** Pull subscriptions by their security definition. */
  readonly readers: Map<string, SubscriptionRoute>;
  readonly exact: Map<string, readonly SubscriptionRoute[]>;
  /** By the first segment of the pattern. */
  readonly wild: Map<string, readonly WildRoute[]>;
}

/** For patterns that begin with a wildcard. */
const anyHead = '*';

/** Topics of the runtime itself: who names one gets it, a wildcard does not. */
const internal = 'zato.';

const noMaps: () => Maps = () => ({
  byKey: new Map(),
  readers: new Map(),
  exact: new Map(),
  wild: new Map(),
});

/** Routes by topic, key and reader. It never changes. */
export class RouteIndex {
  readonly #maps: Maps;

  constructor(maps: Maps = noMaps()) {
    this.#maps = maps;
  }

  get all(): Iterable<SubscriptionRoute> {
    return this.#maps.byKey.values();
  }

  get(subKey: string): SubscriptionRoute | undefined {
    return this.#maps.byKey.get(subKey);
  }

  reader(security: string): SubscriptionRoute | undefined {
    return this.#maps.readers.get(security);
  }

  /** The enabled routes of a topic; one with several topics may come several times. */
  find(topic: string): readonly SubscriptionRoute[] {
    const { exact, wild } = this.#maps;
    const found = [...(exact.get(topic) ?? [])];
    const heads = topic.startsWith(internal) ? [headOf(topic)] : [headOf(topic), anyHead];
    for (const head of heads) {
      for (const { pattern, route } of wild.get(head) ?? []) {
        if (pattern.matches(topic)) found.push(route);
      }
    }
    return found;
  }

  /** The same without the one, with the other. */
  with(gone: readonly SubscriptionRoute[], come: readonly SubscriptionRoute[]): RouteIndex {
    const { byKey, readers, exact, wild } = this.#maps;
    const maps: Maps = {
      byKey: new Map(byKey),
      readers: new Map(readers),
      exact: new Map(exact),
      wild: new Map(wild),
    };
    remove(maps, gone);
    add(maps, come);
    return new RouteIndex(maps);
  }
}

function remove(maps: Maps, gone: readonly SubscriptionRoute[]): void {
  const keys = new Set(gone.map(({ subKey }) => subKey));
  const topics = new Set(gone.flatMap((route) => route.topics));
  for (const { subKey, definition } of gone) {
    maps.byKey.delete(subKey);
    const { security = '' } = definition?.spec ?? {};
    if (maps.readers.get(security)?.subKey === subKey) maps.readers.delete(security);
  }
  for (const topic of topics) keep(maps.exact, topic, (route) => !keys.has(route.subKey));
  for (const head of new Set([...topics].filter(isWild).map(headOf))) {
    keep(maps.wild, head, (route) => !keys.has(route.subKey));
  }
}

function keep<T>(map: Map<string, readonly T[]>, key: string, wanted: (one: T) => boolean): void {
  const left = map.get(key)?.filter(wanted) ?? [];
  if (left.length > 0) map.set(key, left);
  else map.delete(key);
}

function add(maps: Maps, come: readonly SubscriptionRoute[]): void {
  const exact = new Map<string, SubscriptionRoute[]>();
  const wild = new Map<string, WildRoute[]>();
  for (const route of come) {
    const { subKey, topics, enabled, definition } = route;
    maps.byKey.set(subKey, route);
    if (!enabled) continue;
    const { security, delivery } = definition?.spec ?? {};
    if (security !== undefined && delivery === 'pull') maps.readers.set(security, route);
    for (const topic of topics) {
      if (!isWild(topic)) put(exact, topic, route);
      else put(wild, headOf(topic), { pattern: compilePattern(topic), subKey, route });
    }
  }
  merge(maps.exact, exact);
  merge(maps.wild, wild);
}

function put<T>(map: Map<string, T[]>, key: string, value: T): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}

function merge<T>(into: Map<string, readonly T[]>, more: ReadonlyMap<string, readonly T[]>): void {
  for (const [key, values] of more) into.set(key, [...(into.get(key) ?? []), ...values]);
}

function isWild(topic: string): boolean {
  return topic.includes('*');
}

function headOf(topic: string): string {
  const end = topic.indexOf('.');
  const head = end < 0 ? topic : topic.slice(0, end);
  return isWild(head) ? anyHead : head;
}
