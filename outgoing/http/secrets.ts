import { Fault } from '../../runtime/core/fault.ts';
import type { OutgoingSpec } from './definition.ts';

/** Encrypts secrets at rest; `record` binds each to its place, so that one cannot stand for another. */
export interface Sealer {
  seal(record: string, text: string): string;
  /** @throws when the text was sealed with another key or for another record. */
  open(record: string, sealed: string): string;
  isSealed(text: string): boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const hidden = '***';
const reference = /\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}/g;
const wholeReference = /^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$/;

type Auth = OutgoingSpec['auth'];

/** The definition as it is stored: its secret sealed, or the previous one when it is the same. */
export function sealSecrets(
  sealer: Sealer,
  name: string,
  spec: OutgoingSpec,
  previous: OutgoingSpec | undefined,
): OutgoingSpec {
  const secret = secretOf(spec.auth);
  if (secret === undefined) return spec;
  const stored = previous?.auth.type === spec.auth.type ? secretOf(previous.auth) : undefined;
  return {
    ...spec,
    auth: withSecret(spec.auth, sealed(sealer, recordOf(name, spec.auth), secret, stored)),
  };
}

function sealed(sealer: Sealer, record: string, given: string, stored: string | undefined): string {
  if (wholeReference.test(given) || given === stored) return given;
  if (given === hidden) {
    if (stored !== undefined) return stored;
    throw new Fault(
      'bad-request',
      `${record}: "${hidden}" stands for a stored secret, and there is none`,
    );
  }
  if (sealer.isSealed(given)) {
    open(sealer, record, given);
    return given;
  }
  const same =
    stored !== undefined && sealer.isSealed(stored) && opens(sealer, record, stored) === given;
  return same ? stored : sealer.seal(record, given);
}

/** The definition as it is shown: never the secret's own text. */
export function showSecrets(sealer: Sealer, spec: OutgoingSpec): OutgoingSpec {
  const secret = secretOf(spec.auth);
  if (secret === undefined || sealer.isSealed(secret) || wholeReference.test(secret)) return spec;
  return { ...spec, auth: withSecret(spec.auth, hidden) };
}

/**
 * The auth as it goes on the wire.
 * @throws Fault `unavailable` when a secret cannot be opened or a variable is not set.
 */
export function openAuth(sealer: Sealer, name: string, auth: Auth, env: Environment): Auth {
  const secret = secretOf(auth);
  if (secret === undefined) return auth;
  const record = recordOf(name, auth);
  const text = sealer.isSealed(secret) ? open(sealer, record, secret) : secret;
  const plain = withSecret(auth, resolve(text, record, env));
  return plain.type === 'basic'
    ? { ...plain, username: resolve(plain.username, record, env) }
    : plain;
}

/**
 * What must never show of a definition, for a log to take out: its password or value, the password's
 * Basic credentials, and the values of all its variables. What cannot be opened is left out.
 */
export function secretsOf(
  name: string,
  { auth, headers }: OutgoingSpec,
  sealer: Sealer,
  env: Environment,
): readonly string[] {
  const texts = Object.values(headers);
  const secrets: string[] = [];
  const secret = secretOf(auth);
  const text =
    secret !== undefined && sealer.isSealed(secret)
      ? opens(sealer, recordOf(name, auth), secret)
      : secret;
  if (text !== undefined) {
    texts.push(text);
    const plain = resolved(text, env) ?? '';
    secrets.push(plain);
    if (auth.type === 'basic' && plain !== '') secrets.push(basicPair(auth.username, plain));
  }
  for (const [, variable = ''] of texts.flatMap((each) => [...each.matchAll(reference)])) {
    secrets.push(env[variable] ?? '');
  }
  return [...new Set(secrets)].filter((each) => each !== '');
}

/** What `Authorization: Basic` is followed by. */
export function basicPair(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}

/** Text with every `${env:NAME}` replaced. */
export function resolve(text: string, where: string, env: Environment): string {
  return text.replace(reference, (_, variable: string) => {
    const value = env[variable];
    if (value !== undefined) return value;
    throw new Fault('unavailable', `${where}: the environment variable ${variable} is not set`);
  });
}

/** Undefined when a variable is not set. */
function resolved(text: string, env: Environment): string | undefined {
  const unset = [...text.matchAll(reference)].some(
    ([, variable = '']) => env[variable] === undefined,
  );
  return unset ? undefined : resolve(text, '', env);
}

function open(sealer: Sealer, record: string, text: string): string {
  const plain = opens(sealer, record, text);
  if (plain !== undefined) return plain;
  throw new Fault('unavailable', `${record} was sealed with another key: set it again`);
}

function opens(sealer: Sealer, record: string, text: string): string | undefined {
  try {
    return sealer.open(record, text);
  } catch {
    return undefined;
  }
}

function secretOf(auth: Auth): string | undefined {
  if (auth.type === 'basic') return auth.password;
  return auth.type === 'header' ? auth.value : undefined;
}

function withSecret(auth: Auth, secret: string): Auth {
  if (auth.type === 'basic') return { ...auth, password: secret };
  return auth.type === 'header' ? { ...auth, value: secret } : auth;
}

function recordOf(name: string, auth: Auth): string {
  return `outgoing/${name}/${auth.type === 'basic' ? 'password' : 'value'}`;
}
