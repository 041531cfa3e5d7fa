import { type Definition, keptName } from '../config/definition.ts';
import type { Change } from '../config/plan.ts';
import type { DefinitionStore } from '../config/store.ts';
import { Fault } from '../core/fault.ts';
import { renamedTopic, type TopicSpec } from '../pubsub/topic-definition.ts';
import type { RenameReport } from './api.ts';

/** Nothing but patterns of topics names these. */
const renamable = ['topic', 'subscription'];

/** Keys that hold topics and patterns of topics. */
const topicKeys = { subscription: ['topics'], permission: ['publish', 'subscribe'] } as const;

/**
 * Gives a topic or a subscription another name, as one revision: the queue and its messages stay.
 * Subscriptions and permissions that name a renamed topic exactly follow it; patterns stay.
 * @throws Fault `conflict` when the new name is taken, or when something was edited meanwhile.
 */
export async function renameDefinition(
  store: DefinitionStore,
  noun: string,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<RenameReport> {
  const type = store.types.find((one) => one.type === noun);
  if (!type || !renamable.includes(noun)) {
    throw new Fault(
      'bad-request',
      `A ${noun} keeps its name: only a topic or a subscription moves`,
    );
  }
  const old = store.get(noun, from);
  if (!old) throw new Fault('not-found', `No such ${noun}: ${from}`);
  const name = keptName(type, to);
  if (name === old.name) throw new Fault('bad-request', `${noun} ${name} has that name already`);
  const spec = noun === 'topic' ? renamedTopic(old.spec as TopicSpec, old.name, name) : old.spec;
  const changes = await store.change([
    { action: 'delete', type: noun, name: old.name, ifRevision: old.revision },
    { action: 'put', type: noun, name, spec, ifRevision: 'absent' },
    ...(noun === 'topic' ? followers(store, old.name, name) : []),
  ]);
  return { revision: store.revision, name, changes };
}

function followers(store: DefinitionStore, from: string, to: string): readonly Change[] {
  return Object.entries(topicKeys).flatMap(([noun, keys]) =>
    store.list(noun).flatMap((one) => {
      const moved = keys.flatMap((key) => movedKey(one, key, { from, to }));
      if (moved.length === 0) return [];
      const { name, revision } = one;
      const patch = Object.fromEntries(moved);
      return [{ action: 'patch', type: noun, name, keys: patch, ifRevision: revision } as const];
    }),
  );
}

function movedKey(
  { spec }: Definition,
  key: string,
  { from, to }: { readonly from: string; readonly to: string },
): readonly (readonly [string, readonly string[]])[] {
  const texts = (spec as Readonly<Record<string, readonly string[] | undefined>>)[key] ?? [];
  if (!texts.includes(from)) return [];
  return [[key, texts.map((text) => (text === from ? to : text))]];
}
