import type { Command } from 'commander';
import { addDefinitionVerbs } from '../definition.ts';
import { ago, cell } from '../format.ts';
import type { Noun } from '../noun.ts';
import { readList, readNumber } from '../spec.ts';

const channel: Noun = {
  type: 'channel',
  plural: 'channels',
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'PATH', cell: (view) => cell(view['path']) },
    {
      head: 'METHOD',
      cell: (view) => (view['type'] === 'websocket' ? 'websocket' : cell(view['method'] ?? 'any')),
    },
    {
      head: 'SERVICE',
      cell: (view) => (view['gateway'] === true ? 'gateway' : cell(view['service'])),
    },
    { head: 'SECURITY', cell: (view) => cell(view['security']) },
    { head: 'STATE', cell: (view) => (view['enabled'] === false ? 'disabled' : 'enabled') },
    { head: 'FORMAT', wide: true, cell: (view) => cell(view['dataFormat']) },
    { head: 'TIMEOUT', wide: true, cell: (view) => cell(view['timeout']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    { flags: '--path <path>', about: 'URL path, may hold {params}', key: 'path', required: true },
    {
      flags: '--service <name>',
      about: 'the service it calls',
      key: 'service',
      required: true,
      unless: 'gateway',
    },
    {
      flags: '--type <type>',
      about: 'http, unless given',
      key: 'type',
      choices: ['http', 'websocket'],
    },
    { flags: '--method <method>', about: 'the one method it takes', key: 'method' },
    { flags: '--security <name>', about: 'who may call: a security definition', key: 'security' },
    { flags: '--no-security', about: 'anyone may call', key: 'security', value: 'none' },
    {
      flags: '--data-format <format>',
      about: 'how the body is read',
      key: 'dataFormat',
      choices: ['json', 'form', 'text', 'raw'],
    },
    { flags: '--timeout <time>', about: 'for one call: 30s', key: 'timeout' },
    { flags: '--max-body <size>', about: 'bytes, or 512kb, 1mb', key: 'maxBody' },
    { flags: '--match-slash', about: 'params span slashes', key: 'matchSlash', value: true },
    { flags: '--no-match-slash', about: 'params end at a slash', key: 'matchSlash', value: false },
    {
      flags: '--header <name=value>',
      about: 'a header of each reply; repeatable',
      key: 'headers',
      pairs: true,
    },
    {
      flags: '--gateway',
      about: 'websocket: each frame names its service',
      key: 'gateway',
      value: true,
    },
    {
      flags: '--allow <names>',
      about: 'websocket: services of a gateway, by commas, with *',
      key: 'allow',
      read: readList,
    },
    { flags: '--ping-interval <time>', about: 'websocket: 45s', key: 'pingInterval' },
    {
      flags: '--pings-missed <count>',
      about: 'websocket: so many in a row end a connection',
      key: 'pingsMissed',
      read: readNumber,
    },
    { flags: '--token-ttl <time>', about: 'websocket: how long a login counts', key: 'tokenTtl' },
    { flags: '--login-timeout <time>', about: 'websocket: 5s', key: 'loginTimeout' },
    { flags: '--max-frame <size>', about: 'websocket: bytes, or 512kb, 1mb', key: 'maxFrame' },
    { flags: '--idle <time>', about: 'websocket: silent clients are disconnected', key: 'idle' },
    {
      flags: '--max-connections <count>',
      about: 'websocket: in each worker',
      key: 'maxConnections',
      read: readNumber,
    },
    {
      flags: '--hook <service>',
      about: 'websocket: told of clients that come and go',
      key: 'hook',
    },
    { flags: '--enabled', about: 'let it serve', key: 'enabled', value: true },
    { flags: '--disabled', about: 'keep it, but do not serve', key: 'enabled', value: false },
  ],
  examples: {
    create: [
      'hence channel create notify --path /notify --service pushover.send-message',
      'hence channel create order --path "/orders/{id}" --method GET --service orders.get --security partner',
      'hence channel create desk --type websocket --path /desk --service desk.handle --security desk',
      'hence channel create hub --type websocket --path /hub --gateway --allow "zato.*,orders.*"',
    ],
    edit: [
      'hence channel edit notify --timeout 5s --header cache-control=no-store',
      'hence channel edit notify --disabled',
      'hence channel edit notify --set headers.cache-control=null',
    ],
  },
};

export function addChannel(parent: Command): void {
  addDefinitionVerbs(parent, channel);
}
