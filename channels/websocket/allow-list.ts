import { Fault } from '../../runtime/core/fault.ts';

/** What a gateway lets through when its definition names nothing: as in Zato 3.2. */
export const defaultAllowed = [
  'zato.ping',
  'zato.pubsub.pubapi.publish-message',
  'zato.pubsub.pubapi.subscribe-wsx',
  'zato.pubsub.pubapi.unsubscribe',
  'zato.pubsub.resume-wsx-subscription',
] as const;

const pattern = /^[A-Za-z0-9._*-]{1,128}$/;

/** @throws Fault `bad-request` */
export function checkPattern(text: string): void {
  if (pattern.test(text)) return;
  throw new Fault('bad-request', 'must be a name of services, in which * stands for anything');
}

/** Whether a name is let through. */
export function allowing(patterns: readonly string[]): (service: string) => boolean {
  const exact = new Set(patterns.filter((each) => !each.includes('*')));
  const wild = patterns.filter((each) => each.includes('*')).map((each) => each.split(/\*+/));
  return (service) => exact.has(service) || wild.some((parts) => fits(service, parts));
}

/** Whether the parts stand in the name in this order, the first at its start, the last at its end. */
function fits(name: string, parts: readonly string[]): boolean {
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (!name.startsWith(first) || !name.endsWith(last)) return false;
  let from = first.length;
  for (const part of parts.slice(1, -1)) {
    const at = name.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return from <= name.length - last.length;
}
