import { Fault } from '../../../runtime/core/fault.ts';
import type { Input } from '../rest/json-body.ts';

/** A number from `min` to `max`, or the default where the field is absent or null. */
export function numberField(
  { fields }: Pick<Input, 'fields'>,
  name: string,
  {
    min,
    max,
    otherwise,
  }: { readonly min: number; readonly max: number; readonly otherwise: number },
): number {
  const value = fields[name] ?? otherwise;
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw invalid(name, `must be a number, ${min} to ${max}`);
}

/** The words of Zato 4's refusals. */
export function invalid(name: string, problem: string): Fault {
  return new Fault('bad-request', `Invalid input: '${name}' ${problem}`);
}
