import { type Command, Option } from 'commander';
import type { PingResult } from '../../runtime/admin/api.ts';
import { AdminClient } from '../client.ts';
import { addDefinitionVerbs, examples } from '../definition.ts';
import { exitCode } from '../exit-code.ts';
import { ago, cell, span } from '../format.ts';
import { readSecret } from '../input.ts';
import type { Noun, SecretCall } from '../noun.ts';
import { act, type Call } from '../session.ts';
import {
  readBanProtection,
  readBreaker,
  readBytes,
  readList,
  readNumber,
  type SpecFlag,
  setKey,
} from '../spec.ts';

const flags: readonly SpecFlag[] = [
  { flags: '--address <url>', about: 'base URL of the other system', key: 'url', required: true },
  { flags: '--path <path>', about: 'added to it, may hold {params}', key: 'path' },
  { flags: '--method <method>', about: 'the method of send()', key: 'method', read: upper },
  {
    flags: '--data-format <format>',
    about: 'how data is written and replies are read',
    key: 'dataFormat',
    choices: ['json', 'form', 'text', 'raw'],
  },
  {
    flags: '--header <name=value>',
    about: 'sent each time; repeatable',
    key: 'headers',
    pairs: true,
  },
  { flags: '--timeout <time>', about: 'for a whole call: 15s', key: 'timeout' },
  { flags: '--attempt-timeout <time>', about: 'for one try of it', key: 'attemptTimeout' },
  { flags: '--connect-timeout <time>', about: 'for connecting: 5s', key: 'connectTimeout' },
  { flags: '--pool <n>', about: 'most connections at once', key: 'pool', read: readNumber },
  {
    flags: '--max-response <size>',
    about: 'bytes, or 512kb, 1mb',
    key: 'maxResponse',
    read: readBytes,
  },
  {
    flags: '--retry <n>',
    about: 'tries in all: 1 is no retry',
    key: 'retry.attempts',
    read: readNumber,
  },
  { flags: '--retry-delay <time>', about: 'least wait before a try: 5s', key: 'retry.delay' },
  {
    flags: '--retry-on <list>',
    about: 'what is tried again: 5xx,connect,timeout',
    key: 'retry.on',
    read: readList,
  },
  {
    flags: '--retry-methods <list>',
    about: 'which methods are tried again: GET,PUT (POST only if you say so)',
    key: 'retry.methods',
    read: (text) => readList(text.toUpperCase()),
  },
  {
    flags: '--breaker <n/time>',
    about: 'stop after n failures in a row, for a time: 5/30s, or off',
    key: 'breaker',
    read: readBreaker,
  },
  {
    flags: '--park-header <name>',
    about: 'header of a 429 that says until when to wait',
    key: 'park.header',
  },
  {
    flags: '--ban-protection <n/time/time>',
    about: 'n refusals within a time pause it: 3/60s/5m, or off',
    key: 'banGuard',
    read: readBanProtection,
  },
  { flags: '--mode <mode>', about: 'who answers', key: 'mode', choices: ['live', 'standin'] },
  { flags: '--standin <name>', about: 'the stand-in that answers', key: 'standin' },
  { flags: '--ping-path <path>', about: 'what ping asks for', key: 'ping.path' },
  { flags: '--ping-method <method>', about: 'HEAD or GET', key: 'ping.method', read: upper },
  { flags: '--enabled', about: 'let it call', key: 'enabled', value: true },
  { flags: '--disabled', about: 'keep it, but do not call', key: 'enabled', value: false },
];

function upper(text: string): string {
  return text.toUpperCase();
}

const outgoing: Noun = {
  type: 'outgoing',
  plural: 'outgoing connections',
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'ADDRESS', cell: (view) => `${cell(view['url'])}${view['path'] ?? ''}` },
    { head: 'METHOD', cell: (view) => cell(view['method']) },
    { head: 'MODE', cell: (view) => cell(view['mode'] ?? 'live') },
    { head: 'STATE', cell: (view) => (view['enabled'] === false ? 'disabled' : 'enabled') },
    { head: 'FORMAT', wide: true, cell: (view) => cell(view['dataFormat']) },
    { head: 'TIMEOUT', wide: true, cell: (view) => cell(view['timeout']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags,
  secretKeys: ['auth.password', 'auth.value'],
  secretReferences: true,
  secretFlags: () => [
    new Option('--username <name>', 'Basic authentication; its password is read, never a flag'),
    new Option('--password-stdin', 'read the password from standard input'),
    new Option('--auth-header <name>', 'authentication by a header of this name').conflicts([
      'username',
      'passwordStdin',
    ]),
    new Option('--auth-value-stdin', "read that header's value from standard input").conflicts([
      'username',
      'passwordStdin',
    ]),
    new Option('--no-auth', 'no authentication').conflicts(['username', 'authHeader']),
  ],
  missingSecrets: (options) => [
    ...(options['username'] && !options['passwordStdin'] ? ['--password-stdin'] : []),
    ...(options['passwordStdin'] && !options['username'] ? ['--username <name>'] : []),
    ...(options['authHeader'] && !options['authValueStdin'] ? ['--auth-value-stdin'] : []),
    ...(options['authValueStdin'] && !options['authHeader'] ? ['--auth-header <name>'] : []),
  ],
  readSecrets,
  examples: {
    create: [
      'hence outgoing create pushover --address https://api.pushover.net --path /1/messages.json --method POST --data-format form',
      'pass show crm | hence outgoing create crm --address https://crm.example --username sync --password-stdin',
    ],
    edit: [
      'hence outgoing edit pushover --mode standin --standin pushover',
      'hence outgoing edit crm --timeout 5s --retry 3 --retry-on 5xx,connect',
    ],
  },
};

async function readSecrets(call: SecretCall): Promise<undefined> {
  const { options, change } = call;
  if (options['auth'] === false) change['auth'] = { type: 'none' };
  if (options['username'] || options['passwordStdin']) {
    setKey(change, 'auth.type', 'basic');
    if (options['username']) setKey(change, 'auth.username', options['username']);
    const password = await secret(call, 'passwordStdin', '--password-stdin', 'Password');
    if (password !== undefined) setKey(change, 'auth.password', password);
  }
  if (options['authHeader'] || options['authValueStdin']) {
    setKey(change, 'auth.type', 'header');
    if (options['authHeader']) setKey(change, 'auth.name', options['authHeader']);
    const value = await secret(call, 'authValueStdin', '--auth-value-stdin', 'Header value');
    if (value !== undefined) setKey(change, 'auth.value', value);
  }
}

async function secret(
  call: SecretCall,
  option: string,
  flag: string,
  question: string,
): Promise<string | undefined> {
  if (call.options[option]) return readSecret(flag);
  if (!call.creating || !call.session.interactive) return undefined;
  const { askSecret } = await import('../prompt.ts');
  return askSecret(`${question} (not shown): `);
}

export function addOutgoing(parent: Command): void {
  addDefinitionVerbs(parent, outgoing);
  parent
    .command('ping <names...>')
    .description('ask the other system whether it answers; exit code 9 when one does not')
    .addHelpText('after', examples(['hence outgoing ping pushover', 'hence outgoing ping a b c']))
    .action(act(ping));
}

async function ping({ session }: Call, ...names: string[]): Promise<9 | 0> {
  const results: PingResult[] = [];
  // One after the other, so that each has its time to itself.
  for (const name of names) {
    const path = AdminClient.path('outgoing', name, 'ping');
    results.push(await session.client.send<PingResult>('POST', path));
  }
  const [only] = results;
  if (results.length === 1 && only !== undefined) {
    await session.out.one(only, { name: only.connection, text: () => pingText(only) });
  } else {
    await session.out.page(
      { items: results, total: results.length },
      {
        noun: 'results',
        name: (result) => result.connection,
        columns: [
          { head: 'NAME', cell: (result) => result.connection },
          { head: 'STATE', cell: (result) => (result.ok ? 'ok' : 'FAILED') },
          { head: 'STATUS', right: true, cell: (result) => cell(result.status) },
          { head: 'TIME', right: true, cell: (result) => span(result.ms) },
          { head: 'ADDRESS', cell: (result) => cell(result.url) },
          { head: 'ERROR', cell: (result) => cell(result.error) },
        ],
      },
    );
  }
  return results.every((result) => result.ok) ? exitCode.ok : exitCode.unhealthy;
}

function pingText(result: PingResult): string {
  const parts = [
    `outgoing ${result.connection} ${result.ok ? 'ok' : 'FAILED'}`,
    ...(result.status === undefined ? [] : [String(result.status)]),
    span(result.ms),
    cell(result.url),
    ...(result.error === undefined ? [] : [cell(result.error)]),
  ];
  return parts.join(' · ');
}
