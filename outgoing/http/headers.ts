import type { OutgoingSpec } from './definition.ts';
import { basicPair, type Environment, openAuth, resolve, type Sealer } from './secrets.ts';

interface HeaderSource {
  readonly sealer: Sealer;
  readonly env?: Environment;
}

/**
 * The definition's headers, its secrets opened: never to be shown.
 * @throws Fault `unavailable` when a secret cannot be opened or a variable is not set.
 */
export function headersOf(
  name: string,
  spec: OutgoingSpec,
  { sealer, env = {} }: HeaderSource,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [header, value] of Object.entries(spec.headers)) {
    headers[header.toLowerCase()] = resolve(value, `Outgoing ${name}: header ${header}`, env);
  }
  const auth = openAuth(sealer, name, spec.auth, env);
  if (auth.type === 'basic') {
    headers['authorization'] = `Basic ${basicPair(auth.username, auth.password)}`;
  }
  if (auth.type === 'header') {
    headers[auth.name.toLowerCase()] = auth.value;
  }
  return headers;
}
