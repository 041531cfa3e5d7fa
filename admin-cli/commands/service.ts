import type { Command } from 'commander';
import type { InvokeReply, InvokeRequest, ServiceView, Status } from '../../runtime/admin/api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { failureText } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, cell, count, span } from '../format.ts';
import { readPayload } from '../input.ts';
import { json, type Listing } from '../output.ts';
import { paint } from '../paint.ts';
import { act, type Call, type Session } from '../session.ts';
import { addDeploy } from './deploy.ts';
import { addLogs } from './logs.ts';

/** Time for the reply to travel, on top of the service's own. */
const travelMs = 5_000;

const listing: Listing<ServiceView> = {
  noun: 'services',
  name: (view) => view.name,
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'VERSION', cell: (view) => `v${view.version}` },
    { head: 'STATE', cell: stateOf },
    { head: 'CALLS', right: true, cell: (view) => count(view.calls) },
    { head: 'ERRORS', right: true, cell: (view) => count(view.errors) },
    { head: 'IN FLIGHT', right: true, cell: (view) => count(view.inFlight) },
    { head: 'DEPLOYED', cell: (view) => ago(view.deployedAt) },
    { head: 'FILE', wide: true, cell: (view) => cell(view.file) },
    { head: 'HASH', wide: true, cell: (view) => cell(view.hash) },
  ],
};

export function addService(parent: Command): void {
  parent
    .command('list')
    .alias('ls')
    .description('all services, with their version and state')
    .action(act(list));
  parent
    .command('show <name>')
    .description('one service: input and output, history, why its newest file failed')
    .action(act(show));
  addInvoke(parent.command('invoke <name>'));
  addDeploy(parent.command('deploy <files...>'));
  addLogs(parent.command('logs [name]'));
}

async function list({ session }: Call): Promise<ExitCode> {
  const { client, out } = session;
  const [page, status] = await Promise.all([
    client.list<ServiceView>('/api/services', session.limit),
    out.forPeople ? client.get<Status>('/api/status') : undefined,
  ]);
  await out.page(page, listing);
  // A file that never served has no row: it must not look as if nobody had noticed it.
  for (const failure of status?.failures ?? []) out.hint(failureText(failure));
  return exitCode.ok;
}

/** The shortcut `hence invoke NAME` is the same command. */
export function addInvoke(command: Command): void {
  if (command.registeredArguments.length === 0) command.argument('<name>', 'the service');
  command
    .description('call a service and print what it answers')
    .option('-d, --data <json>', "input: JSON, @file, or '-' for standard input")
    .option('--async', 'store the call and answer with its id')
    .option('--cid <id>', 'the correlation id to use')
    .addHelpText(
      'after',
      examples([
        `hence invoke pushover.send-message -d '{"user": "sean", "message": "hello"}'`,
        'hence invoke orders.import -d @orders.json --timeout 5m',
        'jq -c .order < mail.json | hence invoke orders.import -d - --async',
      ]),
    )
    .action(act(invoke));
}

async function invoke({ session, options }: Call, name = ''): Promise<ExitCode> {
  const { data, cid } = options;
  const { timeout } = session.flags;
  const request: InvokeRequest = {
    ...(typeof data === 'string' ? { input: await readPayload(data) } : {}),
    ...(options['async'] === true ? { async: true } : {}),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    ...(typeof cid === 'string' ? { cid } : {}),
  };
  const reply = await session.client.send<InvokeReply>(
    'POST',
    AdminClient.path('services', name, 'invoke'),
    // Without --timeout it is the service's own limit that ends the call.
    { json: request, timeoutMs: timeout === undefined ? 0 : timeout + travelMs },
  );
  await session.out.one(reply, { name: reply.id ?? reply.cid, text: () => replyText(reply) });
  hintReply(session, reply);
  return exitCode.ok;
}

function replyText(reply: InvokeReply): string {
  return reply.id === undefined ? json(reply.payload, 2) : `stored as ${reply.id}`;
}

function hintReply(session: Session, reply: InvokeReply): void {
  const { cid, service, version, ms } = reply;
  const parts = [`cid ${cid}`, `${service} v${version}`, span(ms)];
  session.out.hint(paint('dim', parts.map(cell).join(' · ')));
}

async function show({ session }: Call, name = ''): Promise<ExitCode> {
  const view = await session.client.get<ServiceView>(AdminClient.path('services', name));
  await session.out.one(view, { name: view.name, text: () => showText(session, view) });
  return exitCode.ok;
}

async function showText(session: Session, view: ServiceView): Promise<string> {
  const { failure, history = [], about, channels, ...rest } = view;
  const facts = {
    ...rest,
    version: `v${view.version}`,
    state: stateOf(view),
    deployedAt: `${view.deployedAt} (${ago(view.deployedAt)})`,
    ...(channels === undefined ? {} : { channels }),
    ...(typeof about === 'object' && about !== null ? about : {}),
  };
  const parts = [await session.out.facts(facts)];
  if (history.length > 0) parts.push(historyText(history));
  if (failure !== undefined) {
    parts.push(`the newest ${cell(view.file)} does not serve:\n${failureText(failure)}`);
  }
  return parts.join('\n\n');
}

function historyText(history: NonNullable<ServiceView['history']>): string {
  const lines = history.map(({ version, hash, at }) => `  v${version}  ${hash}  ${ago(at)}`);
  return ['history', ...lines].join('\n');
}

function stateOf(view: ServiceView): string {
  return view.state === 'ok' ? paint('green', 'ok') : paint('red', 'FAILED');
}
