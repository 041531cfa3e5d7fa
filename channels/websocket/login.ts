import { Fault } from '../../runtime/core/fault.ts';
import type { Authenticator } from '../../runtime/security/authenticator.ts';
import {
  type BasicCredentials,
  maxPasswordBytes,
  maxUsernameBytes,
} from '../../runtime/security/basic-credentials.ts';
import type { ClientFrame } from './client-frame.ts';

/**
 * Resolves when the credentials of a create-session frame are those of the channel's security definition.
 * @throws Fault `unauthorized`, `too-many`
 */
export async function checkCredentials(
  authenticator: Pick<Authenticator, 'identify'>,
  security: string | undefined,
  frame: ClientFrame,
): Promise<void> {
  if (security === undefined) return;
  const { name } = await authenticator.identify(credentialsOf(frame));
  if (name !== security) throw notAuthorized();
}

export function notAuthorized(): Fault {
  return new Fault('unauthorized', 'Valid credentials are needed');
}

function credentialsOf({ meta }: ClientFrame): BasicCredentials {
  const { username, secret } = meta as { readonly username?: unknown; readonly secret?: unknown };
  if (!isShortText(username, maxUsernameBytes) || !isShortText(secret, maxPasswordBytes)) {
    throw notAuthorized();
  }
  return { username: username.normalize('NFC'), password: secret.normalize('NFC') };
}

function isShortText(value: unknown, maxBytes: number): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= maxBytes;
}
