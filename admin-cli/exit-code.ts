import type { ErrorBody } from '../runtime/admin/api.ts';

/** What the process answers to its caller. The README prints this table. */
export const exitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  denied: 5,
  unreachable: 6,
  partly: 8,
  unhealthy: 9,
  timeout: 124,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

type FaultCode = ErrorBody['error']['code'];

/** Total by type: a new fault code does not compile until it has its exit code here. */
const byFault: Readonly<Record<FaultCode, ExitCode>> = {
  'bad-request': exitCode.usage,
  unauthorized: exitCode.denied,
  forbidden: exitCode.denied,
  'not-found': exitCode.notFound,
  'method-not-allowed': exitCode.failed,
  conflict: exitCode.conflict,
  'too-large': exitCode.usage,
  'too-many': exitCode.failed,
  timeout: exitCode.timeout,
  unavailable: exitCode.failed,
  internal: exitCode.failed,
};

/** For replies that carry no fault code, from a proxy or from something that is not Hence. */
const byStatus: ReadonlyMap<number, ExitCode> = new Map([
  [400, exitCode.usage],
  [401, exitCode.denied],
  [403, exitCode.denied],
  [404, exitCode.notFound],
  [408, exitCode.timeout],
  [409, exitCode.conflict],
  [413, exitCode.usage],
  [504, exitCode.timeout],
]);

export function exitCodeOf(status: number, code?: string): ExitCode {
  if (code !== undefined && Object.hasOwn(byFault, code)) return byFault[code as FaultCode];
  return byStatus.get(status) ?? exitCode.failed;
}
