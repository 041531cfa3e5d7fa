import { z } from 'zod';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import { bytesOf, durationBetween } from './spec-values.ts';
import { checkTopicName, isTopicPath, normaliseTopic } from './topic-name.ts';

/** A topic that programs may publish to from outside, and what holds for its messages. */
export interface TopicSpec {
  readonly description?: string | undefined;
  /** Publishing to it is refused otherwise; what is queued is still delivered. */
  readonly enabled: boolean;
  /** The longest data taken: bytes, or `64kb`, `1mb`. */
  readonly maxSize?: string | number | undefined;
  /** How long a message waits that does not say so itself: `1h`. */
  readonly expiration?: string | number | undefined;
  /** Of a message that does not say so itself: 0-9, 9 comes first. */
  readonly priority?: number | undefined;
  /** Names it had: who may subscribe to it now has what was queued under them. */
  readonly formerly?: readonly string[] | undefined;
}

const maxBytes = 8 * 1_048_576;
const mostFormer = 20;

const schema: z.ZodType<TopicSpec> = z.strictObject({
  description: z.string().max(1_000).optional(),
  enabled: z.boolean().default(true),
  maxSize: z
    .union([z.string(), z.number()])
    .refine((size) => isSize(size), { error: 'not a size from 1 to 8mb: write bytes, 64kb or 1mb' })
    .optional(),
  expiration: durationBetween('1ms', '3650d').optional(),
  priority: z.int().min(0).max(9).optional(),
  formerly: z.array(z.string().min(1).max(200)).max(mostFormer).optional(),
});

/** Topics, as the store of definitions wants its types described. */
export function topicType() {
  return { type: 'topic', section: 'topics', schema, name: topicName };
}

/** The topic under another name. */
export function renamedTopic(spec: TopicSpec, from: string, to: string): TopicSpec {
  const names = [...(spec.formerly ?? []), from].filter((name) => name !== to);
  return { ...spec, formerly: names.slice(-mostFormer) };
}

/** What renamed topics are called now, by the names they had and no other topic has. */
export function namesNow(
  topics: readonly { readonly name: string; readonly spec: TopicSpec }[],
): ReadonlyMap<string, string> {
  const taken = new Set(topics.map(({ name }) => name));
  return new Map(
    topics.flatMap(({ name, spec }) =>
      (spec.formerly ?? []).filter((one) => !taken.has(one)).map((one) => [one, name] as const),
    ),
  );
}

/** What messages of a topic must keep to, and get where they do not say it themselves. */
export interface TopicRules {
  readonly enabled: boolean;
  /** In bytes. */
  readonly maxSize?: number;
  readonly expirationMs?: number;
  readonly priority?: number;
}

export function topicRules({ enabled, maxSize, expiration, priority }: TopicSpec): TopicRules {
  const bytes = maxSize === undefined ? undefined : bytesOf(maxSize);
  return {
    enabled,
    ...(bytes === undefined ? {} : { maxSize: bytes }),
    ...(expiration === undefined ? {} : { expirationMs: parseDuration(expiration) }),
    ...(priority === undefined ? {} : { priority }),
  };
}

/** The name as it is kept. @throws Fault `bad-request` for what no URL can name. */
function topicName(given: string): string {
  checkTopicName(given);
  if (!isTopicPath(given)) {
    const text =
      'Topic name can contain letters, digits, spaces and _ $ . - : | = ~ ^ % @ + , ; ! ( ) / only';
    throw new Fault('bad-request', `${text}: ${given}`);
  }
  // Clients resolve these away from a URL before they send it.
  if (given === '.' || given === '..') {
    throw new Fault('bad-request', `Topic name cannot be "${given}": no URL can name it`);
  }
  return normaliseTopic(given);
}

function isSize(size: string | number): boolean {
  const bytes = bytesOf(size);
  return bytes !== undefined && bytes >= 1 && bytes <= maxBytes;
}
