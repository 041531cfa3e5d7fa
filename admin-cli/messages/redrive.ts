import type { Command } from 'commander';
import type { RedriveReply, RedriveRequest } from '../../runtime/admin/message-api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { CliError } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { count } from '../format.ts';
import { positive } from '../globals.ts';
import { readRate } from '../rate.ts';
import { act, type Call } from '../session.ts';

export function addRedrive(parent: Command): void {
  parent
    .command('redrive <subscription> [msg-ids...]')
    .description('put dead letters back into their queue, all or these')
    .option('--trial', 'one first: the others only once that one was delivered')
    .option('--rate <n/s>', 'so many in a second: 20/s, 100/m (100/s)')
    .option('--max <n>', 'the oldest so many', positive)
    .addHelpText(
      'after',
      examples([
        'hence message redrive billing --trial --rate 20/s',
        'hence message redrive billing MSG-ID',
        'hence message redrive billing --max 100',
      ]),
    )
    .action(act(redrive));
}

async function redrive(
  { session, options }: Call,
  subscription = '',
  ...msgIds: string[]
): Promise<ExitCode> {
  const { rate, max } = options;
  const request: RedriveRequest = {
    ...(msgIds.length === 0 ? {} : { msgIds }),
    ...(options['trial'] === true ? { trial: true } : {}),
    ...(typeof rate === 'string' ? { rate: readRate(rate) } : {}),
    ...(typeof max === 'number' ? { max } : {}),
  };
  const path = AdminClient.path('queues', subscription, 'redrive');
  // At the rate asked for it may take hours; it ends with this command.
  const { timeout = 0 } = session.flags;
  const call = { json: request, timeoutMs: timeout };
  const reply = await session.client.send<RedriveReply>('POST', path, call);
  const { redriven, trial, dead } = reply;
  const left = dead === 0 ? '' : `, ${count(dead)} dead now`;
  if (redriven === 0 && msgIds.length > 0) {
    throw new CliError(exitCode.notFound, `${subscription} has no such dead letters`);
  }
  const letters = redriven === 1 ? 'dead letter' : 'dead letters';
  const sentence = `${count(redriven)} ${letters} of ${subscription} redriven${left}`;
  await session.out.done(sentence, subscription, { subscription, ...reply });
  return exitOf(reply, trial, msgIds.length);
}

function exitOf(
  { redriven, error }: RedriveReply,
  trial: RedriveReply['trial'],
  asked: number,
): ExitCode {
  if (trial === 'failed' || trial === 'late') {
    const what = trial === 'late' ? 'The first one was not delivered in time' : 'The trial failed';
    throw new CliError(exitCode.failed, error === undefined ? what : `${what}: ${error}`, {
      fix: 'the others stay where they are: hence message browse --dead shows them',
    });
  }
  return asked === 0 || redriven === asked ? exitCode.ok : exitCode.partly;
}
