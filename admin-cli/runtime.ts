import type { run as Run } from '../runtime/control.ts';

/*
 * The only file of the CLI that reaches the platform's own code, and only when a command runs a
 * server here. Both stay outside the bundle.
 */

/** What `hence start` was told; what is absent comes from the environment or is the default. */
export type StartOptions = Parameters<typeof Run>[0];

/** Runs the platform in this process; resolves with its exit code. */
export async function runPlatform(options: StartOptions): Promise<number> {
  const { run } = await import('../runtime/control.ts');
  return run(options);
}

/** The class of the Pushover stand-in. */
export async function loadPushoverStandin() {
  const { PushoverStandin } = await import('../outgoing/pushover/standin.ts');
  return PushoverStandin;
}
