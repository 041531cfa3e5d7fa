import type { Command } from 'commander';
import type { TakeReply, TakeRequest } from '../../runtime/admin/message-api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { parseExact } from '../exact-json.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { duration, positive } from '../globals.ts';
import { act, type Call } from '../session.ts';
import { readBytes } from '../spec.ts';
import { takenColumns } from './message-columns.ts';

/** Time for the reply to travel, on top of the wait. */
const travelMs = 10_000;

export function addTaking(parent: Command): void {
  parent
    .command('get <subscription>')
    .description('take messages out of a queue and print them: the only verb that consumes')
    .option('--max <n>', 'how many at most (50)', positive)
    .option('--max-bytes <size>', 'of data at most: bytes, 64kb, 1mb')
    .option('--wait <time>', 'wait for the first one: 20s', duration)
    .option('--ack', 'they leave the queue once they are here (default)')
    .option('--no-ack', 'they go back at once; each counts as handed out')
    .addHelpText(
      'after',
      examples([
        'hence message get billing',
        'hence message get billing --max 1 --wait 20s -o json',
        'hence message get billing -o ndjson | jq -c .data',
      ]),
    )
    .action(act(take));
}

async function take({ session, options }: Call, subscription = ''): Promise<ExitCode> {
  const { max, maxBytes, wait, ack } = options;
  const request: TakeRequest = {
    ...(typeof max === 'number' ? { max } : {}),
    ...(typeof maxBytes === 'string' ? { maxBytes: readBytes(maxBytes) } : {}),
    ...(typeof wait === 'number' ? { wait } : {}),
    ...(ack === false ? { ack } : {}),
  };
  const { timeout } = session.flags;
  const waitMs = typeof wait === 'number' ? wait : 0;
  const text = await session.client.text('POST', AdminClient.path('queues', subscription, 'take'), {
    json: request,
    ...(timeout === undefined && waitMs === 0 ? {} : { timeoutMs: timeout ?? waitMs + travelMs }),
  });
  const page = parseExact(text) as TakeReply;
  await session.out.page(page, {
    noun: 'messages',
    columns: takenColumns,
    name: ({ msgId }) => msgId,
  });
  return exitCode.ok;
}
