import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { CliError, usage } from './errors.ts';
import { exitCode } from './exit-code.ts';

/** Where a running Hence answers, and what lets us in. */
export interface Endpoint {
  readonly url: string;
  readonly token: string | undefined;
  /** Known only when it runs on this machine. */
  readonly pid?: number;
}

export interface EndpointOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
}

const startIt = 'npm start';

/**
 * The one named by a flag or the environment, else the one that wrote the nearest
 * `.hence/admin.json`, from here upwards.
 */
export function findEndpoint(given: EndpointOptions, env: NodeJS.ProcessEnv): Endpoint {
  const url = given.url ?? env['HENCE_URL'];
  const token = given.token ?? env['HENCE_TOKEN'];
  const found = readNearest(env);
  if (url === undefined || url === '') {
    if (found === undefined) throw notRunning();
    return { ...found, token: token ?? found.token };
  }
  const asked = normalUrl(url);
  // The file's token belongs to the file's address: it is not sent anywhere else.
  if (found !== undefined && found.url === asked) return { ...found, token: token ?? found.token };
  return { url: asked, token };
}

function notRunning(): CliError {
  return new CliError(
    exitCode.unreachable,
    'No running Hence: no .hence/admin.json here or above',
    {
      fix: startIt,
    },
  );
}

function normalUrl(text: string): string {
  const full = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw usage(`Not an HTTP address: ${text}`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function readNearest(env: NodeJS.ProcessEnv): Endpoint | undefined {
  const dataDir = env['HENCE_DIR'];
  if (dataDir) return readFile(join(resolve(dataDir), 'admin.json'));
  let folder = process.cwd();
  for (;;) {
    const found = readFile(join(folder, '.hence', 'admin.json'));
    if (found !== undefined) return found;
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}

function readFile(path: string): Endpoint | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new CliError(exitCode.denied, `Cannot read ${path}: ${code}`, {
      fix: 'run as the user who started Hence, or set HENCE_URL and HENCE_TOKEN',
      cause: error,
    });
  }
  return parse(text, path);
}

function parse(text: string, path: string): Endpoint {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const { url, token, pid } = (value ?? {}) as Partial<Record<string, unknown>>;
  if (typeof url !== 'string' || typeof token !== 'string') {
    throw new CliError(exitCode.unreachable, `${path} does not name a running Hence`, {
      fix: startIt,
    });
  }
  return { url: normalUrl(url), token, ...(typeof pid === 'number' ? { pid } : {}) };
}
