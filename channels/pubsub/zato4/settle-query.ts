import { Fault } from '../../../runtime/core/fault.ts';
import { type Input, parseInput } from '../rest/json-body.ts';
import { invalid, numberField } from './input.ts';

const maxIds = 1_000;
const maxReasonLength = 1_000;
const maxDelay = 86_400;

/** What `POST /pubsub/messages/ack` and `/reject` ask for. */
export interface SettleQuery {
  readonly ackIds: readonly string[];
  /** Of a rejection only. */
  readonly reason: string | undefined;
  readonly delayMs: number;
}

/** @throws Fault `bad-request` */
export function settleQueryOf(body: Buffer): SettleQuery {
  if (body.length === 0) throw new Fault('bad-request', 'Input data missing');
  const input = parseInput(body);
  if (!input) throw invalid('ack_ids', 'element missing');
  const delay = numberField(input, 'delay', { min: 0, max: maxDelay, otherwise: 0 });
  return {
    ackIds: ackIdsOf(input),
    reason: reasonOf(input),
    delayMs: Math.round(delay * 1_000),
  };
}

function ackIdsOf({ fields }: Input): readonly string[] {
  const ids = fields['ack_ids'];
  if (ids === undefined || ids === null) throw invalid('ack_ids', 'element missing');
  const listed = Array.isArray(ids) && ids.every((id) => typeof id === 'string');
  if (listed && ids.length >= 1 && ids.length <= maxIds) return ids as string[];
  throw invalid('ack_ids', `must be a list of 1 to ${maxIds} strings`);
}

function reasonOf({ fields }: Input): string | undefined {
  const reason = fields['reason'] ?? undefined;
  if (reason === undefined) return undefined;
  if (typeof reason === 'string' && reason.length <= maxReasonLength) return reason;
  throw invalid('reason', `must be a string of at most ${maxReasonLength} characters`);
}
