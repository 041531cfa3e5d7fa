import { DefinitionStore } from '../config/store.ts';
import type { Logger } from '../log/logger.ts';
import type { Redactor } from '../log/redact.ts';
import { connectRedis } from '../redis/connection.ts';
import { PasswordHasher } from '../security/password.ts';
import type { Sealer } from '../security/sealer.ts';
import { type DefinitionTypes, definitionTypes } from './definition-types.ts';
import { learnSecrets } from './known-secrets.ts';
import type { RedisHome } from './redis-home.ts';
import type { Environment } from './settings.ts';

interface ControlDefinitions {
  readonly redis: RedisHome;
  readonly sealer: Sealer;
  readonly env: Environment;
  readonly log: Logger;
  /** Of `log`; it learns every secret that is loaded or changed. */
  readonly redactor: Redactor;
}

/** The definitions as the control process has them, and their types; they are not loaded yet. */
export function controlDefinitions(options: ControlDefinitions): {
  readonly store: DefinitionStore;
  readonly types: DefinitionTypes;
} {
  const { redis, sealer, env, log, redactor } = options;
  const types = definitionTypes({ hasher: new PasswordHasher(), sealer });
  const store = new DefinitionStore({
    redis: redis.command,
    subscriber: () => connectRedis(redis.target, 'subscriber', () => {}),
    types: Object.values(types),
    log,
  });
  store.onChange((changes) => {
    if (!changes.some(({ type }) => type === types.outgoing.type)) return;
    learnSecrets(redactor, store.list(types.outgoing), { sealer, env });
  });
  return { store, types };
}
