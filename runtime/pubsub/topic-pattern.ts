import { Fault } from '../core/fault.ts';
import { isAscii, maxTopicLength } from './topic-name.ts';

/** A topic, or a set of topics by wildcards. */
export interface TopicPattern {
  readonly text: string;
  readonly wildcard: boolean;
  matches(topic: string): boolean;
}

/**
 * `*` is any run of characters but dots, the empty one too; `**` as a whole segment is any number of
 * segments, none too: `orders.**` takes `orders`. Within a segment two stars also take dots (Zato 4.x).
 * Everything else is literal. Case counts.
 * @param separator of segments, one character: Zato 3.x has `/`
 */
export function compilePattern(text: string, separator = '.'): TopicPattern {
  if (text.includes('*')) return new Wildcard(text, separator);
  return { text, wildcard: false, matches: (topic) => topic === text };
}

const reserved = ['zato', 'zpsk'];

/** @throws Fault `bad-request` for what Zato 4.x does not take as a pattern of topics. */
export function checkPattern(text: string): void {
  const problem = problemOf(text) ?? reservedIn(text);
  if (problem !== undefined) throw new Fault('bad-request', problem);
}

/** The same for a pattern of Zato 3.x, where nothing is reserved. @throws Fault `bad-request` */
export function checkPathPattern(text: string): void {
  const problem = problemOf(text);
  if (problem !== undefined) throw new Fault('bad-request', problem);
}

function problemOf(text: string): string | undefined {
  if (text === '') return 'A topic pattern cannot be empty';
  if (text.length > maxTopicLength) {
    return `A topic pattern has at most ${maxTopicLength} characters, not ${text.length}`;
  }
  if (!isAscii(text)) return `A topic pattern cannot have non-ASCII characters: ${text}`;
  if (text.trim() !== text) {
    return `A topic pattern cannot begin or end with whitespace: \`${text}\``;
  }
  return text.includes('#') ? `A topic pattern cannot contain "#": ${text}` : undefined;
}

function reservedIn(text: string): string | undefined {
  const word = reserved.find((one) => text.toLowerCase().includes(one));
  return word && `A topic pattern cannot contain "${word}", which is reserved: ${text}`;
}

const star = -1;
const any = -2;
/** Takes no character: where a way begins that may be left out. */
const gate = -3;

/** Steps of a pattern: the code of one character, or one of the above. */
interface Program {
  readonly steps: readonly number[];
  /** By the first step of what may be left out: the step that follows it; 0 for none. */
  readonly jumps: readonly number[];
}

/**
 * Follows all ways through the pattern at once, so that no text makes it go back: at most
 * topic length x pattern length steps.
 */
class Wildcard implements TopicPattern {
  readonly text: string;
  readonly wildcard = true;
  readonly #steps: Int16Array;
  readonly #jumps: Int16Array;
  readonly #separator: number;
  /** Literal text that every match begins and ends with. */
  readonly #prefix: string;
  readonly #suffix: string;
  /** Which steps may come next, before and after a character; kept to spare the garbage. */
  #now: Uint8Array;
  #next: Uint8Array;

  constructor(text: string, separator: string) {
    const program = programOf(text, separator);
    this.text = text;
    this.#separator = separator.charCodeAt(0);
    this.#prefix = prefixOf(program);
    this.#suffix = suffixOf(program);
    this.#steps = Int16Array.from(program.steps);
    this.#jumps = Int16Array.from(program.jumps);
    this.#now = new Uint8Array(program.steps.length + 1);
    this.#next = new Uint8Array(program.steps.length + 1);
  }

  matches(topic: string): boolean {
    const prefix = this.#prefix;
    if (topic.length < prefix.length + this.#suffix.length) return false;
    if (!topic.startsWith(prefix) || !topic.endsWith(this.#suffix)) return false;
    this.#now.fill(0);
    this.#now[prefix.length] = 1;
    this.#skip(this.#now);
    for (let at = prefix.length; at < topic.length; at++) {
      if (!this.#advance(topic.charCodeAt(at))) return false;
    }
    return this.#now[this.#steps.length] === 1;
  }

  /** False when there is no way on. */
  #advance(code: number): boolean {
    const [now, next, steps] = [this.#now, this.#next, this.#steps];
    next.fill(0);
    let alive = false;
    for (let at = 0; at < steps.length; at++) {
      if (now[at] === 0) continue;
      const step = steps[at];
      if (step === code) next[at + 1] = 1;
      else if (step === any || (step === star && code !== this.#separator)) next[at] = 1;
      else continue;
      alive = true;
    }
    if (alive) this.#skip(next);
    this.#now = next;
    this.#next = now;
    return alive;
  }

  /** Adds the steps that are reached without a character; all of them lie further on. */
  #skip(reached: Uint8Array): void {
    const [steps, jumps] = [this.#steps, this.#jumps];
    for (let at = 0; at < steps.length; at++) {
      if (reached[at] === 0) continue;
      if ((steps[at] ?? 0) < 0) reached[at + 1] = 1;
      const jump = jumps[at] ?? 0;
      if (jump > 0) reached[jump] = 1;
    }
  }
}

function programOf(text: string, separator: string): Program {
  const between = separator.charCodeAt(0);
  const steps: number[] = [];
  const jumps: number[] = [];
  const optional = (...group: number[]): void => {
    jumps[steps.length] = steps.length + group.length;
    steps.push(...group);
  };
  const segments = text
    .split(separator)
    .filter((one, at, all) => one !== '**' || all[at - 1] !== '**');
  // The first of several segments brings the separator that follows it, each other one that before it.
  let needsSeparator = false;
  for (const [at, segment] of segments.entries()) {
    if (segment !== '**') {
      if (needsSeparator) steps.push(between);
      steps.push(...stepsOf(segment));
    } else if (segments.length === 1) steps.push(any);
    else if (at === 0) optional(gate, any, between);
    else optional(between, any);
    needsSeparator = at > 0 || segment !== '**';
  }
  return { steps, jumps: Array.from(steps, (_, at) => jumps[at] ?? 0) };
}

function stepsOf(segment: string): number[] {
  const steps: number[] = [];
  for (let at = 0; at < segment.length; at++) {
    const code = segment.charCodeAt(at);
    if (code !== 0x2a) steps.push(code);
    else if ((steps.at(-1) ?? 0) < 0) steps[steps.length - 1] = any;
    else steps.push(star);
  }
  return steps;
}

function prefixOf({ steps, jumps }: Program): string {
  const end = steps.findIndex((step, at) => step < 0 || (jumps[at] ?? 0) > 0);
  return String.fromCharCode(...steps.slice(0, Math.max(end, 0)));
}

function suffixOf({ steps, jumps }: Program): string {
  const open = Math.max(
    steps.findLastIndex((step) => step < 0) + 1,
    jumps.findLast((jump) => jump > 0) ?? 0,
  );
  return String.fromCharCode(...steps.slice(open));
}
