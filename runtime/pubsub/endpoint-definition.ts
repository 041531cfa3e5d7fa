import { z } from 'zod';
import { Fault } from '../core/fault.ts';
import { otherName, pathPatternTexts } from './spec-values.ts';

/** A party of Zato 3.x: what it may publish to and subscribe to, and who it is over REST. */
export interface EndpointSpec {
  readonly role: 'pub-only' | 'sub-only' | 'pub-sub';
  /** Who it is: the security definition that its clients log in with. */
  readonly security?: string | undefined;
  /** Topics or patterns of topics with `/` between segments, in lower case: the first match counts. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const schema: z.ZodType<EndpointSpec> = z
  .strictObject({
    role: z.enum(['pub-only', 'sub-only', 'pub-sub']).default('pub-sub'),
    security: otherName.optional(),
    publish: pathPatternTexts.default([]),
    subscribe: pathPatternTexts.default([]),
  })
  .superRefine(({ role, publish, subscribe }, context) => {
    const idle = [
      ...(role === 'sub-only' && publish.length > 0 ? ['publish'] : []),
      ...(role === 'pub-only' && subscribe.length > 0 ? ['subscribe'] : []),
    ];
    for (const key of idle) {
      const message = `an endpoint that is ${role} has no patterns to ${key}`;
      context.addIssue({ code: 'custom', path: [key], message });
    }
  });

/** Endpoints, as the store of definitions wants its types described. */
export function endpointType() {
  return {
    type: 'endpoint',
    section: 'endpoints',
    schema,
    name: endpointName,
    references: ({ security }: EndpointSpec) =>
      security === undefined ? [] : [{ type: 'security', name: security }],
    // A client over REST is found by its user alone.
    uniques: ({ security }: EndpointSpec): readonly string[] =>
      security === undefined ? [] : [`security ${security}`],
  };
}

const name = /^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,126}[A-Za-z0-9._-])?$/;

/** Names of Zato 3.x have spaces: `My REST Endpoint`. @throws Fault `bad-request` */
function endpointName(given: string): string {
  if (name.test(given) && !given.includes('..')) return given;
  const rule =
    '1-128 letters, digits, spaces, ".", "_" or "-", starting with a letter or a digit, not ending with a space';
  throw new Fault('bad-request', `Not a name for an endpoint: ${rule}`);
}
