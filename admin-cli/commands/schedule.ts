import { type Command, Option } from 'commander';
import type { DefinitionView } from '../../runtime/admin/api.ts';
import type { ManualRun, ScheduleRun, ScheduleView } from '../../runtime/admin/schedule-api.ts';
import { AdminClient } from '../client.ts';
import { addDefinitionVerbs, examples } from '../definition.ts';
import { CliError } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, cell, count, span } from '../format.ts';
import { readPayload } from '../input.ts';
import type { Noun, SecretCall } from '../noun.ts';
import type { Listing } from '../output.ts';
import { paint } from '../paint.ts';
import { act, type Call, type Session } from '../session.ts';
import { readNumber } from '../spec.ts';

const listing: Listing<ScheduleView> = {
  noun: 'schedules',
  name: (view) => view.name,
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'WHEN', cell: whenOf },
    { head: 'SERVICE', cell: (view) => cell(view['service']) },
    { head: 'STATE', cell: stateOf },
    { head: 'NEXT', cell: (view) => until(view.next) },
    { head: 'LAST', cell: (view) => lastOf(view.last) },
    { head: 'RUNS', wide: true, right: true, cell: (view) => count(view.runs) },
    { head: 'TIMEZONE', wide: true, cell: (view) => cell(view['timezone']) },
    { head: 'MISSED', wide: true, cell: (view) => cell(view['missed']) },
    { head: 'TIMEOUT', wide: true, cell: (view) => cell(view['timeout']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
};

const schedule: Noun = {
  type: 'schedule',
  plural: 'schedules',
  // `list` shows more than the definition: see `listing`.
  columns: [],
  flags: [
    { flags: '--service <name>', about: 'the service it calls', key: 'service', required: true },
    {
      flags: '--cron <cron>',
      about: 'minute hour day month weekday; 6 fields begin with seconds',
      key: 'cron',
    },
    {
      flags: '--every <time>',
      about: 'instead of a cron: 30s, 15m, 1d; counted from --start, or 1970 in UTC',
      key: 'every',
    },
    { flags: '--tz <zone>', about: 'time zone of the cron: Europe/Berlin (UTC)', key: 'timezone' },
    { flags: '--start <time>', about: 'no run before: 2026-03-01T09:00:00Z', key: 'start' },
    {
      flags: '--missed <what>',
      about: 'runs that came while no worker ran: one for all of them (once), or none',
      key: 'missed',
      choices: ['once', 'skip'],
    },
    {
      flags: '--max-runs <n>',
      about: 'end after so many; runs by hand do not count',
      key: 'maxRuns',
      read: readNumber,
    },
    { flags: '--overlap', about: 'run while an earlier run goes on', key: 'overlap', value: true },
    { flags: '--no-overlap', about: 'skip it then (so it is)', key: 'overlap', value: false },
    { flags: '--timeout <time>', about: 'for one run: 10m (1h)', key: 'timeout' },
    { flags: '--enabled', about: 'let it run', key: 'enabled', value: true },
    { flags: '--disabled', about: 'keep it, but do not run', key: 'enabled', value: false },
  ],
  secretFlags: () => [
    new Option(
      '-d, --data <json>',
      "what the service gets: JSON, @file, or '-' for standard input",
    ),
  ],
  missingSecrets: (_, { cron, every }) =>
    cron === undefined && every === undefined ? ['--cron <cron> (or --every <time>)'] : [],
  readSecrets: complete,
  afterChange: tellNext,
  examples: {
    create: [
      'hence schedule create daily-report --service report.send --cron "0 9 * * mon-fri" --tz Europe/Berlin',
      `hence schedule create sync --service crm.sync --every 15m -d '{"full": false}'`,
    ],
    edit: [
      'hence schedule edit sync --every 5m',
      'hence schedule edit daily-report --missed skip --timeout 10m',
      'hence schedule edit sync --set maxRuns=null',
    ],
  },
};

/** Not a flag of one key: the input may be in a file, and a cron takes the place of an interval. */
async function complete({ options, change, creating }: SecretCall): Promise<undefined> {
  if (typeof options['data'] === 'string') change['input'] = await readPayload(options['data']);
  if (creating) return;
  if (change['cron'] !== undefined && change['every'] === undefined) change['every'] = null;
  if (change['every'] && change['cron'] === undefined) {
    change['cron'] = null;
    change['timezone'] ??= null;
  }
}

async function tellNext(session: Session, view: DefinitionView): Promise<void> {
  if (!session.out.forPeople) return;
  try {
    const { next } = await session.client.get<ScheduleView>(pathOf(view.name));
    session.out.hint(next === undefined ? 'it does not run by itself' : `runs ${until(next)}`);
  } catch (error) {
    // It is done, whether this can be told or not.
    if (!(error instanceof CliError)) throw error;
  }
}

export function addSchedule(parent: Command): void {
  addDefinitionVerbs(parent, schedule);
  verb(parent, 'list').description('all schedules, by name: next and last run').action(act(list));
  verb(parent, 'show')
    .description('one schedule: every key, the next five runs, the last 50')
    .action(act(show));
  parent
    .command('run <name>')
    .description('run it now, also when it is disabled')
    .option('--wait', 'until it has ended, and print what the service answered')
    .addHelpText('after', examples(['hence schedule run sync', 'hence schedule run sync --wait']))
    .action(act(run));
  for (const [name, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    parent
      .command(`${name} <names...>`)
      .description(enabled ? 'let them run again' : 'keep them, but do not run')
      .addHelpText('after', examples([`hence schedule ${name} sync`]))
      .action(act(({ session }, ...names) => switchAll(session, names, enabled)));
  }
}

function verb(parent: Command, name: string): Command {
  const found = parent.commands.find((command) => command.name() === name);
  if (found) return found;
  throw new Error(`There is no ${name}`);
}

async function list({ session }: Call): Promise<ExitCode> {
  const page = await session.client.list<ScheduleView>('/api/schedules', session.limit);
  await session.out.page(page, listing);
  return exitCode.ok;
}

async function show({ session }: Call, name = ''): Promise<ExitCode> {
  const view = await session.client.get<ScheduleView>(pathOf(name));
  await session.out.one(view, { name: view.name, text: () => showText(session, view) });
  return exitCode.ok;
}

async function run({ session, options }: Call, name = ''): Promise<ExitCode> {
  const wait = options['wait'] === true;
  const reply = await session.client.send<ManualRun>('POST', `${pathOf(name)}/run`, {
    ...(wait ? { query: { wait: 1 }, timeoutMs: session.flags.timeout ?? 0 } : {}),
  });
  const { result, error, cid } = reply;
  await session.out.done(
    result === undefined
      ? `schedule ${name} runs, cid ${cid}`
      : `schedule ${name} ${[resultText(result), error].filter(Boolean).map(cell).join(': ')}`,
    reply.id,
    reply,
  );
  if (result === undefined) return exitCode.ok;
  if (session.out.forPeople && reply.payload !== undefined) {
    session.out.data(JSON.stringify(reply.payload, undefined, 2));
  }
  session.out.hint(paint('dim', `cid ${cid} · ${span(reply.ms ?? 0)}`));
  return result === 'ok' ? exitCode.ok : exitCode.failed;
}

async function switchAll(
  session: Session,
  names: readonly string[],
  enabled: boolean,
): Promise<ExitCode> {
  for (const name of names) {
    const path = AdminClient.path('definitions', 'schedule', name);
    const view = await session.client.send<DefinitionView>('PATCH', path, { json: { enabled } });
    const sentence = `schedule ${name} ${enabled ? 'enabled' : 'disabled'}, revision ${view.revision}`;
    await session.out.done(sentence, name, view);
  }
  return exitCode.ok;
}

function pathOf(name: string): string {
  return AdminClient.path('schedules', name);
}

async function showText(session: Session, view: ScheduleView): Promise<string> {
  const { upcoming = [], history = [], running, next: _, last: __, ...rest } = view;
  const facts = { ...rest, state: stateOf(view), running: running.map(({ cid }) => `cid ${cid}`) };
  const parts = [await session.out.facts(facts, ['finished'])];
  if (upcoming.length > 0) {
    parts.push(['next', ...upcoming.map((at) => `  ${at}  ${until(at)}`)].join('\n'));
  }
  if (history.length > 0) {
    parts.push(['history', ...history.map((each) => `  ${runText(each)}`)].join('\n'));
  }
  return parts.join('\n\n');
}

function runText({
  startedAt,
  kind,
  result,
  ms,
  cid,
  version,
  times,
  ...rest
}: ScheduleRun): string {
  const parts = [
    startedAt,
    `${resultText(result)}${times === undefined ? '' : ` x${count(times)}`}`,
    ...(result === 'skipped' ? [] : [span(ms)]),
    ...(version === undefined ? [] : [`v${version}`]),
    ...(kind === 'manual' ? ['by hand'] : []),
    ...(rest.again ? ['again'] : []),
    `cid ${cid}`,
    ...(rest.error === undefined ? [] : [rest.error]),
  ];
  return parts.map(cell).join('  ');
}

function whenOf(view: ScheduleView): string {
  return view['cron'] === undefined ? `every ${cell(view['every'])}` : cell(view['cron']);
}

function stateOf(view: ScheduleView): string {
  if (view.running.length > 0) return 'running';
  if (view['enabled'] === false) return 'disabled';
  return view.finished ? 'finished' : 'enabled';
}

function lastOf(last: ScheduleRun | undefined): string {
  return last === undefined ? '-' : `${resultText(last.result)} ${ago(last.startedAt)}`;
}

function resultText(result: ScheduleRun['result']): string {
  return result === 'failed' ? paint('red', 'FAILED') : result;
}

/** `in 3 min`. */
function until(iso: string | undefined): string {
  if (iso === undefined) return '-';
  return `in ${span(Math.max(0, Math.round((Date.parse(iso) - Date.now()) / 1_000)) * 1_000)}`;
}
