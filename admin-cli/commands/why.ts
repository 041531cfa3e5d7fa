import type { Command } from 'commander';
import type { JourneyStep, JourneyView } from '../../runtime/admin/message-api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { cell, count, span } from '../format.ts';
import { paint } from '../paint.ts';
import { act, type Call } from '../session.ts';

export function addWhy(command: Command): void {
  command
    .argument('<id>', 'a correlation id or a message id')
    .description('the journey of a request or a message: what happened, when, and where it is now')
    .addHelpText(
      'after',
      examples(['hence why 2f1c0a4be7', 'hence why MSG-ID', 'hence why MSG-ID -o json']),
    )
    .action(act(why));
}

async function why({ session }: Call, id = ''): Promise<ExitCode> {
  const view = await session.client.get<JourneyView>(AdminClient.path('journeys', id));
  await session.out.one(view, { name: view.cid, text: () => timeline(view) });
  if (view.cut) session.out.hint('more happened than is shown');
  if (view.dropped > 0) {
    const steps = `${count(view.dropped)} steps of some journeys`;
    session.out.hint(`there was more to note than could be kept: ${steps} are missing`);
  }
  return exitCode.ok;
}

async function timeline({ cid, steps, standings }: JourneyView): Promise<string> {
  const { table } = await import('../table.ts');
  const began = Date.parse(steps[0]?.at ?? '');
  const several = new Set(steps.map(({ facts }) => facts['msgId'])).size > 2;
  const rows = steps.map((step) => [
    since(Date.parse(step.at) - began),
    step.kind,
    describe(step, several),
    step.ms === undefined ? '' : span(step.ms),
    outcome(step),
  ]);
  const parts = [
    `cid ${cell(cid)} · began ${cell(steps[0]?.at)}`,
    table({ rows, right: [0, 3] }),
    ...standings.map(standing),
  ];
  return parts.join('\n');
}

function since(ms: number): string {
  return `+${ms < 60_000 ? span(ms) : `${span(Math.floor(ms / 1_000) * 1_000)}`}`;
}

type Describe = (facts: JourneyStep['facts']) => readonly unknown[];

const describers: Readonly<Record<string, Describe>> = {
  channel: (facts) => [facts['channel'], '→', versioned(facts)],
  invoke: (facts) => [versioned(facts)],
  publish: (facts) => [facts['topic'], facts['msgId'], receivers(facts)],
  outgoing: (facts) => [facts['connection'], facts['method'], answered(facts)],
  log: (facts) => [facts['message']],
};

const ofQueue: Describe = (facts) => [
  facts['subscription'],
  facts['endpoint'] === undefined ? undefined : `→ ${String(facts['endpoint'])}`,
  facts['attempt'] === undefined ? undefined : `attempt ${String(facts['attempt'])}`,
];

function describe({ kind, facts }: JourneyStep, several: boolean): string {
  const describer = describers[kind];
  const parts = [...(describer ?? ofQueue)(facts)];
  if (describer === undefined && several) parts.push(facts['msgId']);
  return parts
    .filter((part) => part !== undefined)
    .map(cell)
    .join(' ');
}

function versioned(facts: JourneyStep['facts']): string {
  const { service, version } = { service: facts['service'], version: facts['version'] };
  return version === undefined ? cell(service) : `${cell(service)} v${cell(version)}`;
}

/** Undefined for what was refused. */
function receivers(facts: JourneyStep['facts']): string | undefined {
  const { subscriptions, queues } = {
    subscriptions: facts['subscriptions'],
    queues: facts['queues'],
  };
  if (subscriptions !== undefined) return `→ ${cell(subscriptions)}`;
  if (queues === 0) return '→ nobody subscribes';
  if (typeof queues !== 'number') return undefined;
  return `→ ${count(queues)} ${queues === 1 ? 'queue' : 'queues'}`;
}

function answered(facts: JourneyStep['facts']): string | undefined {
  return facts['status'] === undefined ? undefined : `→ ${cell(facts['status'])}`;
}

/** Words say it; colour only helps. */
function outcome({ ok, kind, facts }: JourneyStep): string {
  const again = facts['againInMs'];
  const reason = [facts['reason'], facts['error']].filter((part) => part !== undefined).map(cell);
  const parts = [
    ...(ok === false ? [paint('red', kind === 'dead' ? 'DEAD' : 'FAILED')] : []),
    ...(facts['duplicate'] === true ? ['published before'] : []),
    ...(reason.length > 0 ? [reason.join(': ')] : []),
    ...(typeof again === 'number' && again > 0 ? [`again in ${span(again)}`] : []),
  ];
  return parts.join('  ');
}

function standing(one: JourneyView['standings'][number]): string {
  const { subscription, state, msgId, deliveries, at, reason, lastError } = one;
  const left = at === undefined ? Number.NaN : Date.parse(at) - Date.now();
  const because = [reason, lastError]
    .filter((part) => part !== undefined)
    .map(cell)
    .join(': ');
  const parts = [
    `now  ${cell(subscription)}: ${state}`,
    handedOut(deliveries),
    ...(left > 0 && state !== 'dead' ? [`until in ${span(left)}`] : []),
    ...(because === '' ? [] : [because]),
    cell(msgId),
  ];
  return parts.join(' · ');
}

function handedOut(times: number): string {
  if (times === 0) return 'not handed out yet';
  return times === 1 ? 'handed out once' : `handed out ${count(times)} times`;
}
