import { readFile } from 'node:fs/promises';
import { applyConfig } from '../config/apply.ts';
import type { DefinitionStore } from '../config/store.ts';
import { Fault } from '../core/fault.ts';
import type { Environment, Settings } from './settings.ts';

/**
 * Applies the configuration file when there is one and no definition exists yet.
 * @returns what to tell, or undefined when there is nothing.
 * @throws Fault `not-found` for a file that was named and is not there, `bad-request` for one that is wrong.
 */
export async function applyFirstConfig(
  definitions: DefinitionStore,
  settings: Settings,
  env: Environment,
): Promise<string | undefined> {
  const { configFile, configRequired, projectDir } = settings;
  if (!definitions.isEmpty()) return `revision ${definitions.revision}`;
  const text = await readFile(configFile, 'utf8').catch((error: unknown) => {
    if (!configRequired) return undefined;
    throw new Fault('not-found', `No configuration file ${configFile}`, { cause: error });
  });
  if (text === undefined) return undefined;
  const file = configFile.replace(`${projectDir}/`, '');
  const source = { file, text };
  const { changes, revision } = await applyConfig(definitions, source, {
    env: (name) => env[name],
  });
  return `${file} applied, ${changes.length} definition${changes.length === 1 ? '' : 's'}, revision ${revision}`;
}
