import { type Command, Option } from 'commander';
import type { Page } from '../../runtime/admin/api.ts';
import type { MessageView, QueuedView, QueueView } from '../../runtime/admin/message-api.ts';
import { sliceOfKey } from '../../runtime/core/json-slices.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { usage } from '../errors.ts';
import { parseExact } from '../exact-json.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, bytes, cell, count } from '../format.ts';
import { json, type Listing } from '../output.ts';
import { act, type Call, type Session } from '../session.ts';
import { queuedColumns } from './message-columns.ts';

const pageSize = 1_000;
const mostQueues = 10_000;

const queues: Listing<QueueView> = {
  noun: 'subscriptions',
  name: ({ subscription }) => subscription,
  columns: [
    { head: 'SUBSCRIPTION', cell: ({ subscription }) => cell(subscription) },
    { head: 'DELIVERY', cell: deliveryOf },
    { head: 'WAITING', right: true, cell: ({ waiting }) => count(waiting) },
    { head: 'LEASED', right: true, cell: ({ leased }) => count(leased) },
    { head: 'DELAYED', right: true, cell: ({ delayed }) => count(delayed) },
    { head: 'DEAD', right: true, cell: ({ dead }) => count(dead) },
    { head: 'OLDEST', cell: ({ oldestAt }) => ago(oldestAt) },
    { head: 'TOPICS', cell: ({ topics }) => cell(topics) },
    { head: 'SUB KEY', wide: true, cell: ({ subKey }) => cell(subKey) },
  ],
};

function deliveryOf({ delivery, paused, enabled }: QueueView): string {
  if (!enabled) return `${delivery}, disabled`;
  return paused ? `${delivery}, paused` : delivery;
}

export function addBrowsing(parent: Command): void {
  parent
    .command('queues [subscription]')
    .description('how many messages wait, are leased, delayed or dead in each queue')
    .addHelpText('after', examples(['hence message queues', 'hence message queues billing']))
    .action(act(showQueues));
  parent
    .command('browse')
    .description('messages of a queue, or of a topic in every queue; consumes nothing')
    .option('--subscription <name>', 'the queue of this subscription')
    .option('--topic <topic>', 'of this topic; without --subscription in every queue that gets it')
    .addOption(
      new Option('--state <state>', 'only these').choices(['waiting', 'leased', 'delayed', 'dead']),
    )
    .option('--dead', 'the same as --state dead')
    .option('--after <place>', 'go on where the last page ended')
    .addHelpText(
      'after',
      examples([
        'hence message browse --subscription billing',
        'hence message browse --subscription billing --dead -o wide --limit 20',
        'hence message browse --topic orders.new',
      ]),
    )
    .action(act(browse));
  parent
    .command('show <msg-id>')
    .description('one message: its data, and how it stands in every queue')
    .option('--raw', 'only the data, byte for byte')
    .addHelpText(
      'after',
      examples(['hence message show MSG-ID', 'hence message show MSG-ID --raw > order.json']),
    )
    .action(act(show));
}

async function showQueues({ session }: Call, subscription?: string): Promise<ExitCode> {
  const { client, out } = session;
  if (subscription === undefined) {
    await out.page(await client.list<QueueView>('/api/queues', session.limit), queues);
    return exitCode.ok;
  }
  const view = await client.get<QueueView>(AdminClient.path('queues', subscription));
  await out.one(view, { name: view.subscription, text: () => out.facts(view) });
  return exitCode.ok;
}

type Found = QueuedView & { readonly subscription?: string };

async function browse({ session, options }: Call): Promise<ExitCode> {
  const { subscription, topic, after } = options;
  const query = {
    topic: textOf(topic),
    state: options['dead'] === true ? 'dead' : textOf(options['state']),
  };
  if (typeof subscription === 'string') {
    const from = { ...query, after: textOf(after) };
    const page = await pageOf(session, subscription, from, session.limit);
    await session.out.page(page, listing([]));
    if (page.after !== undefined) session.out.hint(`next page: --after ${page.after}`);
    return exitCode.ok;
  }
  if (typeof topic !== 'string' || after !== undefined) {
    throw usage('message browse needs --subscription, or --topic without --after', {
      fix: 'hence message queues lists the subscriptions',
    });
  }
  await session.out.page(await inEveryQueue(session, query), listing([whose]));
  return exitCode.ok;
}

function listing(first: Listing<Found>['columns']): Listing<Found> {
  return {
    noun: 'messages',
    name: ({ msgId }) => msgId,
    columns: [...first, ...queuedColumns],
  };
}

const whose = {
  head: 'SUBSCRIPTION',
  cell: ({ subscription }: Found) => cell(subscription),
} as const;

type BrowseQuery = Readonly<Record<'topic' | 'state', string | undefined>>;

async function inEveryQueue(session: Session, query: BrowseQuery): Promise<Page<Found>> {
  const { topic } = query;
  const found = await session.client.list<QueueView>('/api/queues', mostQueues, { topic });
  const items: Found[] = [];
  for (const { subscription, waiting, leased, delayed, dead } of found.items) {
    const left = session.limit - items.length;
    if (left <= 0) break;
    if (waiting + leased + delayed + dead === 0) continue;
    const page = await pageOf(session, subscription, query, left);
    items.push(...page.items.map((item) => ({ ...item, subscription })));
  }
  return { items, total: items.length };
}

/** As many as asked for, in as many pages as that takes. */
async function pageOf(
  session: Session,
  subscription: string,
  query: BrowseQuery & { readonly after?: string | undefined },
  limit: number,
): Promise<Page<QueuedView>> {
  const path = AdminClient.path('queues', subscription, 'messages');
  const items: QueuedView[] = [];
  let { after } = query;
  let total = 0;
  do {
    const size = Math.min(pageSize, limit - items.length);
    const call = { query: { ...query, after, limit: size } };
    const page = await session.client.get<Page<QueuedView>>(path, call);
    items.push(...page.items);
    ({ after, total } = { after: page.after, total: page.total });
  } while (after !== undefined && items.length < limit);
  // With a topic nobody has counted.
  const known = query.topic === undefined ? total : items.length;
  return { items, total: known, ...(after === undefined ? {} : { after }) };
}

async function show({ session, options }: Call, msgId = ''): Promise<ExitCode> {
  const text = await session.client.text('GET', AdminClient.path('messages', msgId));
  if (options['raw'] === true) {
    process.stdout.write(rawData(text));
    return exitCode.ok;
  }
  const view = parseExact(text) as MessageView;
  await session.out.one(view, { name: view.msgId, text: () => showText(session, view) });
  return exitCode.ok;
}

/** The very bytes that were published. */
function rawData(reply: string): Buffer {
  const { base64, text } = JSON.parse(reply) as MessageView;
  if (base64 !== undefined) return Buffer.from(base64, 'base64');
  if (text !== undefined) return Buffer.from(text);
  const { start, end } = sliceOfKey(reply, 'data') ?? { start: 0, end: 0 };
  return Buffer.from(reply.slice(start, end));
}

async function showText(session: Session, view: MessageView): Promise<string> {
  const { data, text, base64, standings = [], size, ...meta } = view;
  const { table } = await import('../table.ts');
  const parts = [
    await session.out.facts({
      ...meta,
      receivedAt: `${meta.receivedAt} (${ago(meta.receivedAt)})`,
      size: bytes(size),
    }),
    table({
      head: ['SUBSCRIPTION', 'STATE', 'TRIES', 'FAILED', 'AT', 'WHY'],
      rows: standings.map((one) => [
        cell(one.subscription),
        one.state,
        count(one.deliveries),
        count(one.failures),
        cell(one.at),
        cell([one.reason, one.lastError].filter((part) => part !== undefined).join(': ')),
      ]),
      right: [2, 3],
    }),
    data === undefined ? (text ?? `<${base64}>`) : json(data, 2),
  ];
  return parts.join('\n\n');
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
