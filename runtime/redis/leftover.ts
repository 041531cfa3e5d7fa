import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Fault } from '../core/fault.ts';
import type { Layout } from './layout.ts';
import { askRedis } from './probe.ts';
import { parseInfo } from './requirements.ts';

const askMs = 1_000;
const endMs = 10_000;

interface Leftover {
  readonly pid: number;
  readonly answers: boolean;
}

/**
 * Ends the Redis of a control process that died without stopping it, and clears its socket; gives its pid. Only for the
 * owner of the folder. A server that is not of this folder is left alone and is a conflict.
 */
export async function endLeftover(layout: Layout): Promise<number | undefined> {
  const leftover = await find(layout);
  if (leftover !== undefined) await end(leftover, layout);
  await rm(layout.socket, { force: true });
  await rm(layout.pid, { force: true });
  return leftover?.pid;
}

async function find(layout: Layout): Promise<Leftover | undefined> {
  const reply = await askRedis(layout.socket, 'INFO server', askMs);
  if (reply === undefined) return findFrozen(layout);
  const info = parseInfo(reply);
  if (info.get('config_file') !== layout.conf) {
    throw new Fault(
      'conflict',
      `Another server answers on ${layout.socket}; it is not the Redis of ${layout.dir}`,
    );
  }
  return { pid: Number(info.get('process_id')), answers: true };
}

/** A Redis of ours that is frozen must not wake up and write beside the next one. */
async function findFrozen(layout: Layout): Promise<Leftover | undefined> {
  const pid = Number(await readFile(layout.pid, 'utf8').catch(() => ''));
  if (!Number.isSafeInteger(pid) || pid <= 0 || !(await isAlive(pid))) return undefined;
  // Redis shows its socket in its title, so a pid that is another program's by now is told apart.
  return (await commandLine(pid)).includes(layout.socket) ? { pid, answers: false } : undefined;
}

/** What Redis has acknowledged is on disk (`appendfsync always`), so a kill loses nothing either. */
async function end({ pid, answers }: Leftover, layout: Layout): Promise<void> {
  if (answers) await askRedis(layout.socket, 'SHUTDOWN', askMs);
  if (answers && (await goneWithin(pid, endMs))) return;
  if (await isAlive(pid)) process.kill(pid, 'SIGKILL');
  if (await goneWithin(pid, endMs)) return;
  throw new Fault('conflict', `The old Redis of ${layout.dir} (pid ${pid}) cannot be stopped`);
}

async function goneWithin(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await sleep(5);
  }
  return true;
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A dead process nobody has waited for still has its pid; /proc is Linux only.
  const facts = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) [ZX] /.test(facts);
}

async function commandLine(pid: number): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    const ps = promisify(execFile)('ps', ['-p', String(pid), '-o', 'command=']);
    return ps.then(
      ({ stdout }) => stdout,
      () => '',
    );
  }
}
