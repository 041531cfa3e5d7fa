import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Fault } from '../core/fault.ts';
import { durationBetween, otherName, topicTexts } from './spec-values.ts';

/** One consumer's interest in topics; it has exactly one queue, named by its subKey. */
export interface SubscriptionSpec {
  /** Topics or patterns of topics, in lower case. */
  readonly topics: readonly string[];
  /** Whose it is: what this security definition may subscribe to reaches the queue's reader. */
  readonly security?: string | undefined;
  readonly delivery: 'pull' | 'push';
  /** A push goes to one of these two. */
  readonly service?: string | undefined;
  readonly outgoing?: string | undefined;
  /** What an outgoing connection is sent: the body of Zato 4, unless it is 2.0's. */
  readonly format?: 'zato4' | 'zato2' | undefined;
  /** Publishing puts nothing in its queue otherwise. */
  readonly enabled: boolean;
  /** Messages queue up, and nothing is delivered. */
  readonly paused: boolean;
  /** Messages taken at once. */
  readonly batch: number;
  /** Deliveries at once. */
  readonly concurrency: number;
  /** One message at a time, a failed one before all later ones. */
  readonly ordered: boolean;
  /** A message that failed so often is a dead letter. */
  readonly maxDeliveries: number;
  /** How long to wait after each failure; the last one repeats. */
  readonly retry: readonly (string | number)[];
  /** Messages in the queue at most. */
  readonly maxDepth: number;
  /** At `maxDepth`: refuse the publication, or leave this queue out of it. */
  readonly whenFull: 'refuse' | 'drop';
  /** Messages taken and not yet acknowledged at most. */
  readonly maxInflight: number;
  /** How long a taken message may stay unacknowledged; what the API it is read by says where absent. */
  readonly lease?: string | number | undefined;
  /** How long one push may take. */
  readonly timeout: string | number;
  /** Given to it at its creation; absent only before. */
  readonly subKey?: string | undefined;
}

/** Of a taken message, where neither the subscription nor the API it is read by says it. */
export const defaultLease = '30s';

/** About three days in all, as Standard Webhooks spreads its attempts. */
const defaultRetry = '1s 5s 30s 5m 30m 2h 5h 10h 14h 20h 24h'.split(' ');
const defaultConcurrency = 10;

const schema: z.ZodType<SubscriptionSpec> = z
  .strictObject({
    // None: its client has left every topic, and may come back.
    topics: topicTexts,
    security: otherName.optional(),
    delivery: z.enum(['pull', 'push']).optional(),
    service: otherName.optional(),
    outgoing: otherName.optional(),
    format: z.enum(['zato4', 'zato2']).optional(),
    enabled: z.boolean().default(true),
    paused: z.boolean().default(false),
    batch: z.int().min(1).max(1_000).default(50),
    concurrency: z.int().min(1).max(100).optional(),
    ordered: z.boolean().default(false),
    maxDeliveries: z.int().min(1).max(1_000).default(20),
    retry: z
      .array(durationBetween('1ms', '7d'))
      .min(1)
      .max(100)
      .default([...defaultRetry]),
    maxDepth: z.int().min(1).max(10_000_000).default(1_000_000),
    whenFull: z.enum(['refuse', 'drop']).default('refuse'),
    maxInflight: z.int().min(1).max(100_000).default(1_000),
    lease: durationBetween('1s', '12h').optional(),
    timeout: durationBetween('1ms', '1h').default('60s'),
    subKey: z
      .string()
      .regex(/^(?!zato\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/i, {
        error: '1-128 letters, digits, ".", "_" or "-", and not beginning with "zato."',
      })
      .optional(),
  })
  .transform(({ delivery, concurrency, ...spec }) => ({
    ...spec,
    delivery: delivery ?? (targetsOf(spec).length > 0 ? ('push' as const) : ('pull' as const)),
    concurrency: concurrency ?? (spec.ordered ? 1 : defaultConcurrency),
  }))
  .superRefine((spec, context) => {
    for (const [key, message] of problemsOf(spec)) {
      context.addIssue({ code: 'custom', path: [key], message });
    }
  });

/** Subscriptions, as the store of definitions wants its types described. */
export function subscriptionType() {
  return {
    type: 'subscription',
    section: 'subscriptions',
    schema,
    references: ({ security, outgoing }: SubscriptionSpec) => [
      ...(security === undefined ? [] : [{ type: 'security', name: security }]),
      ...(outgoing === undefined ? [] : [{ type: 'outgoing', name: outgoing }]),
    ],
    // Zato 4.x finds the queue of a REST client by its user alone.
    uniques: ({ security, subKey }: SubscriptionSpec): readonly string[] => [
      ...(security === undefined ? [] : [`security ${security}`]),
      ...(subKey === undefined ? [] : [`subKey ${subKey}`]),
    ],
    seal: async (
      name: string,
      spec: SubscriptionSpec,
      previous: SubscriptionSpec | undefined,
    ): Promise<SubscriptionSpec> => ({ ...spec, subKey: subKeyOf(name, spec, previous) }),
  };
}

function subKeyOf(
  name: string,
  { subKey }: SubscriptionSpec,
  previous: SubscriptionSpec | undefined,
): string {
  const kept = previous?.subKey;
  if (kept !== undefined && subKey !== undefined && subKey !== kept) {
    const text = 'the subKey names the queue and stays as it is';
    throw new Fault('conflict', `subscription ${name}: ${text}: ${kept}`);
  }
  return kept ?? subKey ?? `sk${randomBytes(16).toString('hex')}`;
}

type Targets = Pick<SubscriptionSpec, 'service' | 'outgoing'>;

function targetsOf({ service, outgoing }: Targets): readonly string[] {
  return [service, outgoing].filter((target) => target !== undefined);
}

function problemsOf(spec: SubscriptionSpec): readonly (readonly [string, string])[] {
  const targets = targetsOf(spec).length;
  const problems: (readonly [string, string])[] = [];
  if (spec.delivery === 'push' && spec.topics.length === 0) {
    problems.push(['topics', 'name at least one topic']);
  }
  if (spec.delivery === 'push' && targets !== 1) {
    problems.push(['delivery', 'push needs a service or an outgoing connection, one of them']);
  }
  if (spec.delivery === 'pull' && targets > 0) {
    problems.push(['delivery', 'pull has neither a service nor an outgoing connection']);
  }
  if (spec.delivery === 'pull' && spec.security === undefined) {
    problems.push(['security', 'pull needs a security definition: whose messages they are']);
  }
  if (spec.format !== undefined && spec.outgoing === undefined) {
    problems.push(['format', 'only what an outgoing connection is sent has a format']);
  }
  if (spec.ordered && spec.concurrency > 1) {
    problems.push(['concurrency', 'ordered delivery is one at a time: concurrency must be 1']);
  }
  return problems;
}
