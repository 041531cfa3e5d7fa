import { Fault } from '../core/fault.ts';
import type { Page } from './api.ts';

export interface PageQuery {
  /** As text from a query string, or a number. */
  readonly limit?: string | number | undefined;
  readonly after?: string | undefined;
}

const defaultLimit = 100;
const maxLimit = 1_000;

/** @throws Fault `bad-request` unless it is a whole number from 1 to 1,000. */
export function limitOf(limit: PageQuery['limit'], fallback = defaultLimit): number {
  if (limit === undefined) return fallback;
  const wanted = /^\d{1,6}$/.test(String(limit)) ? Number(limit) : 0;
  if (wanted >= 1 && wanted <= maxLimit) return wanted;
  throw new Fault('bad-request', `limit must be a whole number from 1 to ${maxLimit}`);
}

/**
 * The items that follow `after`, which names the last one of the page before. It may be gone by now
 * where the order is that of the names.
 */
export function pageOf<T>(
  items: readonly T[],
  { limit, after }: PageQuery,
  order: {
    readonly nameOf: (item: T) => string;
    readonly follows: (item: T, after: string) => boolean;
  },
): Page<T> {
  const size = limitOf(limit);
  const rest = after === undefined ? items : items.filter((item) => order.follows(item, after));
  const page = rest.slice(0, size);
  const last = page.at(-1);
  const more = last !== undefined && rest.length > page.length;
  return {
    items: page,
    total: items.length,
    ...(more ? { after: order.nameOf(last) } : {}),
  };
}

/** One page of items sorted by name. */
export function pageByName<T extends { readonly name: string }>(
  items: readonly T[],
  query: PageQuery,
): Page<T> {
  return pageOf(items, query, {
    nameOf: ({ name }) => name,
    follows: ({ name }, after) => name > after,
  });
}
