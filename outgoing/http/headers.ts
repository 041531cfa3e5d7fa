import type { OutgoingSpec } from './definition.ts';
import { type Environment, openAuth, resolve, type Sealer } from './secrets.ts';

/**
 * The definition's headers, its secrets opened: never to be shown.
 * @throws Fault `unavailable` when a secret cannot be opened or a variable is not set.
 */
export function headersOf(
  name: string,
  spec: OutgoingSpec,
  { sealer, env = {} }: { readonly sealer: Sealer; readonly env?: Environment },
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [header, value] of Object.entries(spec.headers)) {
    headers[header.toLowerCase()] = resolve(value, `Outgoing ${name}: header ${header}`, env);
  }
  const auth = openAuth(sealer, name, spec.auth, env);
  if (auth.type === 'basic') {
    const pair = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    headers['authorization'] = `Basic ${pair}`;
  }
  if (auth.type === 'header') headers[auth.name.toLowerCase()] = auth.value;
  return headers;
}
