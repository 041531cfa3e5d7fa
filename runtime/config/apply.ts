import { stringify } from 'yaml';
import { Fault } from '../core/fault.ts';
import type { DefinitionType } from './definition.ts';
import type { Changed, DefinitionStore } from './store.ts';
import {
  type ConfigSource,
  escapeReferences,
  type ParseOptions,
  parseConfig,
  shownSpec,
} from './yaml.ts';

export interface ApplyOptions {
  readonly env: ParseOptions['env'];
  /** Only says what would change. */
  readonly dryRun?: boolean;
}

export interface Applied {
  readonly revision: number;
  readonly changes: readonly Changed[];
}

/**
 * Makes the definitions of a file so: all, as one revision, or none. Others stay. A second apply changes nothing.
 * @throws Fault `bad-request` with every problem as its details.
 */
export async function applyConfig(
  store: DefinitionStore,
  source: ConfigSource,
  { env, dryRun = false }: ApplyOptions,
): Promise<Applied> {
  const changes = await store.transact(
    async () => {
      const { plan, problems } = await parseConfig({
        file: source.file,
        text: source.text,
        types: store.types,
        env,
        existing: store,
      });
      const [first] = problems;
      if (!first) return plan;
      const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
      const message = `${first.where}: ${first.message}${more}`;
      throw new Fault('bad-request', message, { details: problems });
    },
    { dryRun },
  );
  return { revision: store.revision, changes };
}

/** All definitions as YAML, sorted, without secrets. Applied again it gives the same system. */
export function exportConfig(
  store: Pick<DefinitionStore, 'list'>,
  types: readonly DefinitionType[],
): string {
  const sections = types
    .toSorted((a, b) => (a.section < b.section ? -1 : 1))
    .map((type) => [type.section, namesOf(store, type)] as const)
    .filter(([, names]) => names.size > 0);
  // Maps keep their order even for names that look like numbers.
  return sections.length === 0 ? '' : stringify(new Map(sections), { lineWidth: 0 });
}

function namesOf(
  store: Pick<DefinitionStore, 'list'>,
  type: DefinitionType,
): ReadonlyMap<string, unknown> {
  return new Map(
    store.list(type.type).map((one) => [one.name, escapeReferences(shownSpec(type, one))]),
  );
}
