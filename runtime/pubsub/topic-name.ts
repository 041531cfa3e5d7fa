import { Fault } from '../core/fault.ts';

/** Characters of a topic's name, and of a pattern. */
export const maxTopicLength = 200;

/** Topics are the same in any case: they are kept and matched in lower case. */
export function normaliseTopic(name: string): string {
  return name.toLowerCase();
}

/** @throws Fault `bad-request` in the words of Zato 4.x (`validate_topic_name`). */
export function checkTopicName(name: string): void {
  const problem = problemOf(name);
  if (problem !== undefined) throw new Fault('bad-request', problem);
}

/** What a URL's path can name as a topic (Zato 4.x, `url_dispatcher.py`; `\w` is Unicode's there). */
export function isTopicPath(text: string): boolean {
  return /^[\p{L}\p{N}_ $.\-:|=~^%@+,;!()/]+$/u.test(text);
}

export function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

function problemOf(name: string): string | undefined {
  if (name === '') return 'Topic name cannot be empty';
  if (name.trim() !== name) {
    return `Topic name cannot begin or end with whitespace: \`${name}\``;
  }
  const length = characters(name);
  if (length > maxTopicLength) {
    return `Topic name exceeds maximum length of ${maxTopicLength} characters: ${length}`;
  }
  if (name.includes('#')) return 'Topic name cannot contain "#" character';
  if (!isAscii(name)) return `Topic name contains non-ASCII characters: ${name}`;
  return undefined;
}

/** A pair of surrogates is one character. */
function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
