import type { DefinitionStore } from '../config/store.ts';
import { Fault } from '../core/fault.ts';
import type { PermissionSpec } from '../pubsub/permission-definition.ts';
import { type Operation, Permissions } from '../pubsub/permissions.ts';
import { checkTopicName, normaliseTopic } from '../pubsub/topic-name.ts';
import type { PermissionCheck } from './api.ts';

export interface PermissionQuery {
  readonly security?: string | undefined;
  readonly operation?: string | undefined;
  readonly topic?: string | undefined;
}

/**
 * Whether a security definition may publish to a topic or subscribe to it, and by which rule.
 * @throws Fault `bad-request` for a question that is none.
 */
export function checkPermission(
  store: Pick<DefinitionStore, 'get' | 'list'>,
  { security, operation, topic }: PermissionQuery,
): PermissionCheck {
  if (security === undefined) throw new Fault('bad-request', '?security= is missing');
  if (topic === undefined) throw new Fault('bad-request', '?topic= is missing');
  if (!isOperation(operation)) {
    throw new Fault('bad-request', '?operation= must be publish or subscribe');
  }
  checkTopicName(topic);
  const asked = { security, operation, topic: normaliseTopic(topic) };
  if (!store.get('security', security)) {
    return { ...asked, allowed: false, why: `there is no security definition ${security}` };
  }
  const permissions = new Permissions();
  // The store has only what the type's schema has let through.
  permissions.update(
    store.list('permission').map(({ name, spec }) => ({ name, spec: spec as PermissionSpec })),
  );
  return { ...asked, ...permissions.explain(security, operation, asked.topic) };
}

function isOperation(text: string | undefined): text is Operation {
  return text === 'publish' || text === 'subscribe';
}
