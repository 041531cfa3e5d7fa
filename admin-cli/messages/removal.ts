import { type Command, Option } from 'commander';
import type { PurgeRequest, PurgeState, QueueView } from '../../runtime/admin/message-api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { CliError, errorText } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { count, span } from '../format.ts';
import { duration } from '../globals.ts';
import { allowLoss, mayLose } from '../loss.ts';
import { act, type Call } from '../session.ts';

export function addRemoval(parent: Command): void {
  parent
    .command('delete <subscription> <msg-ids...>')
    .alias('rm')
    .description('take single messages out of a queue for good; asks first, or wants --yes')
    .addHelpText('after', examples(['hence message delete billing MSG-ID --yes']))
    .action(act(remove));
  parent
    .command('purge <subscription>')
    .description('take all messages of a state out of a queue for good')
    .addOption(
      new Option('--state <state>', 'which ones')
        .choices(['waiting', 'delayed', 'dead'])
        .default('waiting'),
    )
    .option('--older-than <time>', 'only what came longer ago: 1h, 7d', duration)
    .option(...allowLoss)
    .addHelpText(
      'after',
      examples([
        'hence message purge billing',
        'hence message purge billing --state dead --older-than 7d --yes --allow-data-loss',
      ]),
    )
    .action(act(purge));
}

async function remove(
  { session }: Call,
  subscription = '',
  ...msgIds: string[]
): Promise<ExitCode> {
  const what = msgIds.length === 1 ? `message ${msgIds[0]}` : `${count(msgIds.length)} messages`;
  if (!(await session.confirm(`Deleting ${what} of ${subscription}`))) {
    session.out.hint('nothing deleted');
    return exitCode.failed;
  }
  const failures: CliError[] = [];
  for (const msgId of msgIds) {
    try {
      const path = AdminClient.path('queues', subscription, 'messages', msgId);
      await session.client.send('DELETE', path);
      const done = { subscription, msgId, deleted: true };
      await session.out.done(`message ${msgId} deleted from ${subscription}`, msgId, done);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first === undefined) return exitCode.ok;
  if (msgIds.length === 1) throw first;
  for (const failure of failures) process.stderr.write(errorText(failure));
  return failures.length === msgIds.length ? first.exitCode : exitCode.partly;
}

async function purge({ session, options }: Call, subscription = ''): Promise<ExitCode> {
  const state = String(options['state']) as PurgeState;
  const { olderThan } = options;
  const older = typeof olderThan === 'number' ? olderThan : undefined;
  const path = AdminClient.path('queues', subscription);
  const view = await session.client.get<QueueView>(path);
  if (view[state] === 0) {
    const nothing = { subscription, state, purged: 0 };
    await session.out.done(`${subscription} has no ${state} messages`, subscription, nothing);
    return exitCode.ok;
  }
  const loss = lossOf(view, state, older);
  if (!(await mayLose(session, loss, view.subscription, options['allowDataLoss'] === true))) {
    session.out.hint('nothing purged');
    return exitCode.failed;
  }
  const request: PurgeRequest = { state, ...(older === undefined ? {} : { olderThan: older }) };
  // Millions of messages take their time.
  const { timeout = 0 } = session.flags;
  const call = { json: request, timeoutMs: timeout };
  const { purged } = await session.client.send<{ purged: number }>('POST', `${path}/purge`, call);
  const sentence = `${count(purged)} ${state} messages of ${subscription} purged`;
  await session.out.done(sentence, subscription, { subscription, state, purged });
  return exitCode.ok;
}

function lossOf(view: QueueView, state: PurgeState, olderThanMs: number | undefined): string {
  const { subscription } = view;
  const all = `${count(view[state])} ${state} messages of ${subscription}`;
  if (olderThanMs === undefined) return `${all} would be lost for good`;
  return `Of ${all} those older than ${span(olderThanMs)} would be lost for good`;
}
