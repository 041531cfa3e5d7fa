import { z } from 'zod';
import { otherName, patternTexts } from './spec-values.ts';

/** Topics that a security definition may publish to and subscribe to. */
export interface PermissionSpec {
  readonly security: string;
  /** Topics or patterns of topics, in lower case. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const schema: z.ZodType<PermissionSpec> = z
  .strictObject({
    security: otherName,
    publish: patternTexts.default([]),
    subscribe: patternTexts.default([]),
  })
  .refine(({ publish, subscribe }) => publish.length + subscribe.length > 0, {
    error: 'a permission needs a pattern to publish to or to subscribe to',
  });

/** Permissions, as the store of definitions wants its types described. */
export function permissionType() {
  return {
    type: 'permission',
    section: 'permissions',
    schema,
    references: ({ security }: PermissionSpec) => [{ type: 'security', name: security }],
  };
}
