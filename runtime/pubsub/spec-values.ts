import { z } from 'zod';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import { isName, nameRule } from '../core/name.ts';
import { checkTopicName, normaliseTopic } from './topic-name.ts';
import { checkPathPattern, checkPattern } from './topic-pattern.ts';

/** The name of another definition or of a service. */
export const otherName = z.string().refine(isName, { error: nameRule });

const maxTexts = 1_000;

/** Topics and patterns, in lower case, each once. */
export const topicTexts = textsBy((text) => {
  if (text.includes('*')) checkPattern(text);
  else checkTopicName(text);
});

/** What Zato 4.x takes as a pattern of a permission, in lower case, each once. */
export const patternTexts = textsBy(checkPattern);

/** Patterns of an endpoint (Zato 3.x), in lower case, each once. */
export const pathPatternTexts = textsBy(checkPathPattern);

/** A length of time between two others. */
export function durationBetween(min: string, max: string) {
  return z.union([z.string(), z.number()]).refine(
    (value) => {
      const ms = durationOf(value);
      return ms !== undefined && ms >= parseDuration(min) && ms <= parseDuration(max);
    },
    { error: `not a duration from ${min} to ${max}: write 250ms, 5s, 10m, 2h or 1d` },
  );
}

const unitBytes = { '': 1, b: 1, kb: 1_024, mb: 1_048_576 } as const;

/** Bytes from a number, or from `64kb` or `1mb`; undefined for anything else. */
export function bytesOf(size: string | number): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb)?$/.exec(String(size).trim().toLowerCase());
  if (!match) return undefined;
  return Math.floor(Number(match[1]) * unitBytes[(match[2] ?? '') as keyof typeof unitBytes]);
}

function durationOf(value: string | number): number | undefined {
  try {
    return parseDuration(value);
  } catch {
    return undefined;
  }
}

function textsBy(check: (text: string) => void) {
  const text = z
    .string()
    .check((context) => {
      try {
        check(context.value);
      } catch (error) {
        if (!Fault.is(error)) throw error;
        context.issues.push({ code: 'custom', message: error.message, input: context.value });
      }
    })
    .transform(normaliseTopic);
  return z
    .array(text)
    .max(maxTexts)
    .transform((texts) => [...new Set(texts)]);
}
