import { type Input, parseInput } from '../rest/json-body.ts';
import { invalid, numberField } from './input.ts';
import { pythonInt } from './python-int.ts';

const defaultMessages = 50;
const mostMessages = 1_000;
/** Characters of data: the default and the most (Zato 4, `Default_Max_Len`). */
const mostLength = 20_000_000;
const maxWait = 60;
const maxLease = 3_600;

/** What `POST /pubsub/messages/get` asks for. */
export interface GetQuery {
  readonly maxMessages: number;
  readonly maxLength: number;
  /** The client acknowledges, not the end of the reply. */
  readonly manual: boolean;
  readonly leaseMs: number;
  readonly waitMs: number;
}

/** @throws Fault `bad-request` */
export function getQueryOf(body: Buffer, defaultLeaseMs: number): GetQuery {
  const input = inputOf(body);
  const lease = { min: 1, max: maxLease, otherwise: defaultLeaseMs / 1_000 };
  return {
    maxMessages: countField(input, 'max_messages', {
      otherwise: defaultMessages,
      most: mostMessages,
    }),
    maxLength: countField(input, 'max_len', { otherwise: mostLength, most: mostLength }),
    manual: isManual(input),
    leaseMs: leaseMsOf(input, lease),
    waitMs: Math.round(numberField(input, 'wait', { min: 0, max: maxWait, otherwise: 0 }) * 1_000),
  };
}

/** The body may be left out. */
function inputOf(body: Buffer): Pick<Input, 'fields'> {
  if (body.length === 0) return { fields: {} };
  const input = parseInput(body);
  if (input) return input;
  throw invalid('body', 'must be a JSON object');
}

/** Nothing and zero mean the default, more than the most means the most (Zato 4). */
function countField(
  { fields }: Pick<Input, 'fields'>,
  name: string,
  { otherwise, most }: { readonly otherwise: number; readonly most: number },
): number {
  const given = fields[name];
  if (given === undefined || given === null || given === '') return otherwise;
  const count = pythonInt(given);
  if (count === undefined || count < 0) throw invalid(name, 'must be a whole number, 0 or more');
  return count === 0 ? otherwise : Math.min(count, most);
}

function isManual({ fields }: Pick<Input, 'fields'>): boolean {
  const mode = fields['ack'] ?? 'auto';
  if (mode === 'manual' || mode === 'auto') return mode === 'manual';
  throw invalid('ack', 'must be "auto" or "manual"');
}

function leaseMsOf(
  input: Pick<Input, 'fields'>,
  range: { readonly min: number; readonly max: number; readonly otherwise: number },
): number {
  // The subscription's own may be longer than what a client can ask for.
  if ((input.fields['lease'] ?? undefined) === undefined) return range.otherwise * 1_000;
  return Math.round(numberField(input, 'lease', range) * 1_000);
}
