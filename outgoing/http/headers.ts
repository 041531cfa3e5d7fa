import type { OutgoingSpec } from './definition.ts';
import { type Environment, openAuth, resolve, type Sealer } from './secrets.ts';

interface HeaderSource {
  readonly sealer: Sealer;
  readonly env?: Environment;
  /** Told each secret that was opened, so that the log can take it out. */
  readonly onSecret?: (secret: string) => void;
}

/**
 * The definition's headers, its secrets opened: never to be shown.
 * @throws Fault `unavailable` when a secret cannot be opened or a variable is not set.
 */
export function headersOf(
  name: string,
  spec: OutgoingSpec,
  { sealer, env = {}, onSecret }: HeaderSource,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [header, value] of Object.entries(spec.headers)) {
    headers[header.toLowerCase()] = resolve(value, `Outgoing ${name}: header ${header}`, env);
  }
  const auth = openAuth(sealer, name, spec.auth, env);
  if (auth.type === 'basic') {
    const pair = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    headers['authorization'] = `Basic ${pair}`;
    onSecret?.(auth.password);
    onSecret?.(pair);
  }
  if (auth.type === 'header') {
    headers[auth.name.toLowerCase()] = auth.value;
    onSecret?.(auth.value);
  }
  return headers;
}
