import type { Command } from 'commander';
import type { DefinitionView, PermissionCheck } from '../../runtime/admin/api.ts';
import type { QueueView } from '../../runtime/admin/message-api.ts';
import { AdminClient } from '../client.ts';
import { addDefinitionVerbs, examples } from '../definition.ts';
import { exitCode } from '../exit-code.ts';
import { ago, cell, count } from '../format.ts';
import type { Noun } from '../noun.ts';
import { addRename } from '../rename.ts';
import { act, type Session } from '../session.ts';
import { readList, readNumber } from '../spec.ts';

const subscription: Noun = {
  type: 'subscription',
  plural: 'subscriptions',
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'TOPICS', cell: (view) => cell(view['topics']) },
    { head: 'DELIVERY', cell: (view) => cell(view['delivery']) },
    { head: 'TO', cell: targetOf },
    { head: 'SECURITY', cell: (view) => cell(view['security']) },
    { head: 'STATE', cell: stateOf },
    { head: 'SUBKEY', wide: true, cell: (view) => cell(view['subKey']) },
    { head: 'BATCH', wide: true, right: true, cell: (view) => cell(view['batch']) },
    { head: 'CONCURRENCY', wide: true, right: true, cell: (view) => cell(view['concurrency']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    {
      flags: '--topic <patterns...>',
      about: 'what it gets: topics, or patterns such as orders.*',
      key: 'topics',
      required: true,
      many: true,
    },
    {
      flags: '--delivery <kind>',
      about: 'pull when it asks for them, push when they are brought',
      key: 'delivery',
      choices: ['pull', 'push'],
    },
    { flags: '--service <name>', about: 'push to this service', key: 'service' },
    { flags: '--outgoing <name>', about: 'push to this outgoing connection', key: 'outgoing' },
    { flags: '--security <name>', about: 'whose it is', key: 'security' },
    { flags: '--batch <n>', about: 'messages taken at once', key: 'batch', read: readNumber },
    {
      flags: '--concurrency <n>',
      about: 'deliveries at once',
      key: 'concurrency',
      read: readNumber,
    },
    { flags: '--ordered', about: 'one at a time, in order', key: 'ordered', value: true },
    { flags: '--unordered', about: 'in any order', key: 'ordered', value: false },
    {
      flags: '--max-deliveries <n>',
      about: 'failures that make a dead letter',
      key: 'maxDeliveries',
      read: readNumber,
    },
    {
      flags: '--retry <times>',
      about: 'waits after each failure: 1s,5s,1m',
      key: 'retry',
      read: readList,
    },
    { flags: '--max-depth <n>', about: 'messages in it', key: 'maxDepth', read: readNumber },
    {
      flags: '--when-full <what>',
      about: 'refuse the publication, or drop the message here',
      key: 'whenFull',
      choices: ['refuse', 'drop'],
    },
    {
      flags: '--max-inflight <n>',
      about: 'taken and not yet acknowledged',
      key: 'maxInflight',
      read: readNumber,
    },
    { flags: '--lease <time>', about: 'for a taken message: 30s', key: 'lease' },
    { flags: '--timeout <time>', about: 'for one push: 60s', key: 'timeout' },
    { flags: '--sub-key <key>', about: 'the queue, when it has a key already', key: 'subKey' },
    { flags: '--paused', about: 'queue, but do not deliver', key: 'paused', value: true },
    { flags: '--enabled', about: 'let messages in', key: 'enabled', value: true },
    { flags: '--disabled', about: 'let nothing in', key: 'enabled', value: false },
  ],
  examples: {
    create: [
      'hence subscription create billing --topic orders.new --service billing.invoice',
      'hence subscription create partner --topic orders.new "orders.*.eu" --security partner',
      'hence subscription create mirror --topic "**" --outgoing archive --ordered',
    ],
    edit: [
      'hence subscription edit billing --concurrency 20 --retry 1s,10s,1m',
      'hence subscription edit billing --set service=null --outgoing crm',
    ],
  },
  lossOf,
  afterChange: warnOfDenied,
};

export function addSubscription(parent: Command): void {
  addDefinitionVerbs(parent, subscription);
  addPause(parent, 'pause', { paused: true, about: 'queue messages, deliver none' });
  addPause(parent, 'resume', { paused: false, about: 'deliver again' });
  addRename(parent, subscription, 'hence subscription rename billing invoices');
}

function addPause(
  parent: Command,
  verb: string,
  { paused, about }: { readonly paused: boolean; readonly about: string },
): void {
  parent
    .command(`${verb} <name>`)
    .description(about)
    .addHelpText('after', examples([`hence subscription ${verb} billing`]))
    .action(
      act(async ({ session }, name = '') => {
        const path = AdminClient.path('definitions', subscription.type, name);
        const before = await session.client.get<DefinitionView>(path);
        const view = await session.client.send<DefinitionView>('PATCH', path, { json: { paused } });
        const state = paused ? 'paused' : 'resumed';
        const already = before['paused'] === paused ? ' already' : '';
        const sentence = `subscription ${name} ${state}${already}, revision ${view.revision}`;
        await session.out.done(sentence, name, view);
        return exitCode.ok;
      }),
    );
}

/** Its queue goes with it, whatever is in it. */
async function lossOf(session: Session, { name }: DefinitionView): Promise<string | undefined> {
  const path = AdminClient.path('queues', name);
  const { waiting, leased, delayed, dead } = await session.client.get<QueueView>(path);
  const all = waiting + leased + delayed + dead;
  if (all === 0) return undefined;
  const letters = dead === 0 ? '' : `, ${count(dead)} of them dead,`;
  return `${count(all)} messages of ${name}${letters} would be lost for good`;
}

/** What its security definition may not subscribe to would end as dead letters. */
async function warnOfDenied(session: Session, view: DefinitionView): Promise<void> {
  const { security, topics } = view;
  if (typeof security !== 'string' || !Array.isArray(topics)) return;
  for (const pattern of topics.map(String)) {
    // One topic that the pattern takes stands for all of them.
    const topic = pattern.replace(/\*+/g, (stars) => (stars.length > 1 ? 'x.x' : 'x'));
    const query = { security, operation: 'subscribe', topic };
    const found = await session.client.get<PermissionCheck>('/api/permissions/check', { query });
    if (found.allowed) continue;
    session.out.hint(`warning: ${security} may not subscribe to ${pattern}: ${found.why}`);
    session.out.hint(
      `fix:     hence permission create --security ${security} --subscribe '${pattern}'`,
    );
  }
}

function targetOf(view: DefinitionView): string {
  const { service, outgoing } = view;
  if (service !== undefined) return `service ${cell(service)}`;
  return outgoing === undefined ? '-' : `outgoing ${cell(outgoing)}`;
}

function stateOf(view: DefinitionView): string {
  if (view['enabled'] === false) return 'disabled';
  return view['paused'] === true ? 'paused' : 'active';
}
