import type { OutgoingSpec } from '../../outgoing/http/definition.ts';
import { secretsOf } from '../../outgoing/http/secrets.ts';
import type { Definition } from '../config/definition.ts';
import type { Redactor } from '../log/redact.ts';
import type { Sealer } from '../security/sealer.ts';
import type { Environment } from './settings.ts';

/** Makes the secrets of all connections known to this process's log, before any of them is used. */
export function learnSecrets(
  redactor: Redactor,
  definitions: readonly Definition<OutgoingSpec>[],
  { sealer, env }: { readonly sealer: Sealer; readonly env: Environment },
): void {
  for (const { name, spec } of definitions) {
    for (const secret of secretsOf(name, spec, sealer, env)) redactor.add(secret);
  }
}
