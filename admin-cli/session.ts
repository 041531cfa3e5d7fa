import type { Command } from 'commander';
import { AdminClient } from './client.ts';
import { findEndpoint } from './endpoint.ts';
import { usage } from './errors.ts';
import { type ExitCode, exitCode } from './exit-code.ts';
import { type GlobalFlags, globalFlags } from './globals.ts';
import { Output } from './output.ts';
import { useColour, wantsColour } from './paint.ts';

const defaultTimeoutMs = 30_000;
const defaultLimit = 100;

/** One run of the command line: what was asked for globally, and the ways out of it. */
export class Session {
  readonly flags: GlobalFlags;
  readonly out: Output;
  #client: AdminClient | undefined;

  constructor(flags: GlobalFlags) {
    this.flags = flags;
    useColour(flags.color !== false && wantsColour(process.stdout, process.env));
    this.out = new Output({
      format: flags.output ?? (flags.json === true ? 'json' : 'table'),
      quiet: flags.quiet === true,
    });
  }

  /** Made at its first use: help and usage errors need no running Hence. */
  get client(): AdminClient {
    this.#client ??= new AdminClient(findEndpoint(this.flags, process.env), {
      timeoutMs: this.flags.timeout ?? defaultTimeoutMs,
      ...(this.flags.verbose === true
        ? { trace: (line: string) => process.stderr.write(`> ${line}\n`) }
        : {}),
    });
    return this.#client;
  }

  get limit(): number {
    return this.flags.limit ?? defaultLimit;
  }

  /** Whether there is a person to ask. */
  get interactive(): boolean {
    return process.stdin.isTTY && process.stderr.isTTY && this.flags.input !== false;
  }

  /** Asks before something is lost; without a person to ask it wants --yes. */
  async confirm(loss: string): Promise<boolean> {
    if (this.flags.yes === true) return true;
    if (!this.interactive) throw usage(`${loss}: this needs --yes`);
    const { ask } = await import('./prompt.ts');
    return /^y(es)?$/i.test((await ask(`${loss}? [y/N] `)).trim());
  }
}

/** Options of one command, as commander parsed them. */
export type Options = Readonly<Record<string, unknown>>;

export interface Call {
  readonly session: Session;
  readonly options: Options;
  readonly command: Command;
}

/** A command's work as commander calls it: arguments, then options, then the command. */
export function act(
  work: (call: Call, ...args: string[]) => Promise<ExitCode | undefined>,
): (...all: unknown[]) => Promise<void> {
  return async (...all) => {
    const command = all.pop() as Command;
    const options = all.pop() as Options;
    const session = new Session(globalFlags(command));
    const args = (all as (string | string[] | undefined)[])
      .flat()
      .filter((arg) => arg !== undefined);
    process.exitCode = (await work({ session, options, command }, ...args)) ?? exitCode.ok;
  };
}
