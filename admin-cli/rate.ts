import { usage } from './errors.ts';

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** How many in a second, from `20/s`, `100/m` or `20`. */
export function readRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/([smh]))?$/.exec(text.trim());
  const perSecond = Number(match?.[1]) / (unitSeconds[match?.[2] ?? 's'] ?? 1);
  if (perSecond > 0) return perSecond;
  throw usage(`Not a rate: "${text}" (write 20/s, 100/m or 20)`);
}
