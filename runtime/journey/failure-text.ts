import { Fault } from '../core/fault.ts';

/** The code and what was thrown: that tells more than "Internal error". */
export function failureText(thrown: unknown): string {
  const fault = Fault.from(thrown);
  const { cause } = fault;
  const said = fault.code === 'internal' && cause instanceof Error ? cause.message : fault.message;
  return `${fault.code}: ${said}`;
}
