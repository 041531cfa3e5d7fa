import type { DeployReport, Problem } from '../runtime/admin/api.ts';
import { type ExitCode, exitCode } from './exit-code.ts';
import { printable } from './format.ts';
import { paint } from './paint.ts';

export interface CliErrorOptions {
  /** The place at fault: `hence.yaml:31:5`. */
  readonly where?: string | undefined;
  /** A command or an action that would help. */
  readonly fix?: string | undefined;
  /** Each in a line of its own. */
  readonly problems?: readonly Problem[] | undefined;
  readonly cause?: unknown;
}

/** A failure as the user sees it, with the exit code it ends in. */
export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly where: string | undefined;
  readonly fix: string | undefined;
  readonly problems: readonly Problem[];

  constructor(code: ExitCode, message: string, options: CliErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = code;
    this.where = options.where;
    this.fix = options.fix;
    this.problems = options.problems ?? [];
  }
}

/** Wrong flags, arguments or input of the caller. */
export function usage(message: string, options: CliErrorOptions = {}): CliError {
  return new CliError(exitCode.usage, message, options);
}

/** The lines of a failure, for stderr. */
export function errorText(error: CliError): string {
  const lines = [`${paint('red', 'error')}  ${printable(error.message)}`];
  if (error.where !== undefined) lines.push(`where: ${printable(error.where)}`);
  for (const problem of error.problems) {
    lines.push(`  ${printable(problem.where)}  ${printable(problem.message)}`);
  }
  if (error.fix !== undefined) lines.push(`fix:   ${printable(error.fix)}`);
  return `${lines.join('\n')}\n`;
}

type Failure = DeployReport['failures'][number];

/** `services/a.ts:14:22  message` and the code frame below it. */
export function failureText(failure: Failure): string {
  const place = [failure.file, failure.line, failure.column].filter((part) => part !== undefined);
  const lines = [`${place.join(':')}  ${printable(failure.message)}`];
  if (failure.frame !== undefined) {
    for (const line of failure.frame.split('\n')) lines.push(`    ${printable(line)}`.trimEnd());
  }
  return lines.join('\n');
}
