import { Fault } from '../core/fault.ts';
import type { TopicRules } from './topic-definition.ts';

const minPriority = 1;
const maxPriority = 9;
const defaultPriority = 5;
/** In seconds: what Zato 3.x stands for "never" with, 68 years. */
const defaultExpiration = 2_147_483_647;

/** @throws Fault `bad-request` in the words of Zato 3.x. */
export function zato3Priority(given: unknown, { priority }: Pick<TopicRules, 'priority'>): number {
  if (given === undefined || given === null || given === '') return priority ?? defaultPriority;
  const wanted = numberOf(given);
  if (Number.isInteger(wanted) && wanted >= minPriority && wanted <= maxPriority) return wanted;
  const range = `${minPriority}-${maxPriority}`;
  throw new Fault('bad-request', `Priority \`${given}\` outside of allowed range ${range}`);
}

/** In ms of what is given in seconds; 0 means the default. @throws Fault `bad-request` */
export function zato3Expiration(
  given: unknown,
  { expirationMs }: Pick<TopicRules, 'expirationMs'>,
): number {
  const seconds = given === undefined || given === null || given === '' ? 0 : numberOf(given);
  if (seconds < 0) throw new Fault('bad-request', `Expiration \`${given}\` must not be negative`);
  const ms = Math.ceil(seconds * 1_000);
  if (!Number.isSafeInteger(ms)) {
    throw new Fault('bad-request', `Expiration \`${given}\` must be a number of seconds`);
  }
  return ms === 0 ? (expirationMs ?? defaultExpiration * 1_000) : ms;
}

/** Of a number, and of text that is one; NaN of anything else. */
function numberOf(given: unknown): number {
  if (typeof given === 'number') return given;
  return typeof given === 'string' && given.trim() !== '' ? Number(given) : Number.NaN;
}
