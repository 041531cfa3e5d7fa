import process from 'node:process';
import { Fault } from './core/fault.ts';
import { ControlRoom } from './roof/control-room.ts';
import { type StartOptions, settingsFrom } from './roof/settings.ts';

/** Runs the system until it is stopped; resolves with the exit code. */
export async function run(options: StartOptions): Promise<number> {
  const room = openRoom(options);
  if (!room) return 2;
  process.stdout.on('error', () => {
    // Nobody reads the output any more: serving goes on without it.
  });
  const ended = new Promise<number>((resolve) => room.onEnd(resolve));
  const signalled = () => room.signal();
  process.on('SIGINT', signalled);
  process.on('SIGTERM', signalled);
  process.on('SIGHUP', signalled);
  try {
    await Promise.race([room.start(), ended]);
  } catch (error) {
    if (room.stopping) return await ended;
    const fault = Fault.from(error);
    console.error(`\n  ✖ ${fault.code === 'internal' ? String(fault.cause) : fault.message}\n`);
    await room.stop();
    return fault.code === 'conflict' ? 4 : 1;
  }
  return await ended;
}

function openRoom(options: StartOptions): ControlRoom | undefined {
  try {
    return new ControlRoom(settingsFrom(options, process.env, process.cwd()), process.env);
  } catch (error) {
    console.error(`error  ${Fault.from(error).message}`);
    return undefined;
  }
}
