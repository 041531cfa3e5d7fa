import fs from 'node:fs';
import path from 'node:path';
import { failed, Refusal, run, step } from './prepare-step.mjs';

/** Tests run servers of their own, so an address of one is not enough for them. */
export function needsRedis({ env }) {
  if (env.REDIS_URL && !isTest(env)) return false;
  return (
    findOnPath(env, 'redis-server') === undefined && findOnPath(env, 'valkey-server') === undefined
  );
}

function isTest(env) {
  return env.npm_lifecycle_event === 'pretest';
}

/** How each package manager installs a Redis, in the order they are looked for. */
const managers = {
  'apt-get': {
    packages: ['redis-server', 'valkey-server'],
    install: ['install', '-y'],
    refresh: ['update'],
  },
  dnf: { packages: ['redis', 'valkey'], install: ['install', '-y'] },
  apk: { packages: ['redis', 'valkey'], install: ['add', '--no-cache'] },
  brew: { packages: ['redis', 'valkey'], install: ['install'], asUser: true },
};

export async function installRedis(host) {
  const name = Object.keys(managers).find((manager) => findOnPath(host.env, manager) !== undefined);
  const prefix = name === undefined ? undefined : await rights(host, managers[name]);
  if (prefix === undefined) {
    throw new Refusal([
      failed('redis', 'not found on PATH, and this user cannot install packages'),
      ...advice(host, name),
    ]);
  }
  await step(host, 'redis', async () => {
    const output = await tryPackages(host, name, prefix);
    if (!needsRedis(host)) return `installed with ${name}`;
    throw new Refusal([
      failed('redis', `not found on PATH, and ${name} could not install it`),
      ...lastLines(output),
      ...advice(host, name),
    ]);
  });
}

/** What to put before a command so that it may install packages; undefined when nothing helps. */
async function rights(host, { asUser }) {
  if (asUser || host.uid === 0) return [];
  if (findOnPath(host.env, 'sudo') === undefined) return undefined;
  const asked = await run(host, 'sudo', ['-n', 'true']);
  return asked.code === 0 ? ['sudo', '-n'] : undefined;
}

function advice({ env }, name) {
  const again = isTest(env) ? 'npm test' : 'npm start';
  const manager = managers[name];
  const command = [manager?.asUser ? '' : 'sudo', name, manager?.install[0], manager?.packages[0]];
  const first = manager
    ? command.filter(Boolean).join(' ')
    : 'install redis-server or valkey-server 6.2+';
  const lines = [`      either  ${first.padEnd(38)} then run ${again} again`];
  if (!isTest(env)) lines.push('      or      REDIS_URL=redis://host:6379 npm start');
  return lines;
}

/** One package after the other; with fresh lists once, because a new machine has none. */
async function tryPackages(host, name, prefix) {
  const { packages, install, refresh } = managers[name];
  let output = '';
  const attempt = async (args) => {
    const [command, ...rest] = [...prefix, ...quietly(host, name, args)];
    const done = await run(host, command, rest);
    output += done.output;
    return done.code === 0;
  };
  for (const item of packages) {
    if (await attempt([...install, item])) return output;
  }
  if (!(refresh && (await attempt(refresh)))) return output;
  for (const item of packages) {
    if (await attempt([...install, item])) return output;
  }
  return output;
}

/**
 * Debian starts a service as it installs it, which would be a second Redis, open on port 6379. Its own way to say no is
 * a policy-rc.d that answers 101; one that is there already is the machine's owner's and stays.
 */
const withoutService = `
policy=$1
shift
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
DEBIAN_FRONTEND=noninteractive "$@"
`;

function quietly({ policyFile, env }, name, args) {
  if (name !== 'apt-get') return [name, ...args];
  // sudo clears the environment, but behind a proxy apt-get needs to know.
  const proxies = Object.keys(env).filter((key) => /^(https?|no)_proxy$/i.test(key));
  return [
    ...['env', ...proxies.map((key) => `${key}=${env[key]}`)],
    ...['sh', '-c', withoutService, 'sh', policyFile, name, ...args],
  ];
}

function lastLines(output) {
  return output
    .trimEnd()
    .split('\n')
    .slice(-5)
    .map((line) => `      ${line}`);
}

function findOnPath(env, name) {
  const folders = (env.PATH || '').split(path.delimiter).filter(Boolean);
  return folders.map((folder) => path.join(folder, name)).find(isProgram);
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
