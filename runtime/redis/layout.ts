import { createHash } from 'node:crypto';
import { lstat, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { Fault } from '../core/fault.ts';

/** The files of a private Redis. */
export interface Layout {
  readonly dir: string;
  /** The folder of the sockets: `dir`, or a short one when `dir` is too long for a socket. */
  readonly socketDir: string;
  readonly socket: string;
  readonly owner: string;
  readonly conf: string;
  readonly pid: string;
  readonly log: string;
}

/** `sun_path` has 104 bytes on macOS and 108 on Linux; the owner's socket gets a suffix for a moment. */
const longestSocketPath = 100;
const suffixRoom = '.1234567'.length;

export function layoutOf(given: string): Layout {
  const dir = resolve(given);
  const socketDir = fits(dir) ? dir : shortDir(dir);
  return {
    dir,
    socketDir,
    socket: join(socketDir, 'redis.sock'),
    owner: join(socketDir, 'owner.sock'),
    conf: join(dir, 'redis.conf'),
    pid: join(dir, 'redis.pid'),
    log: join(dir, 'redis.log'),
  };
}

function fits(dir: string): boolean {
  return Buffer.byteLength(join(dir, 'owner.sock')) + suffixRoom <= longestSocketPath;
}

/** The same folder always has the same short one, so that a second start finds the first. */
function shortDir(dir: string): string {
  const id = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  return join(tmpdir(), `hence-${userInfo().uid}-${id}`);
}

/** Makes both folders, for this user only. */
export async function makeFolders(layout: Layout): Promise<void> {
  for (const dir of new Set([layout.dir, layout.socketDir])) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await refuseForeign(dir);
  }
}

/** A temporary folder is open to all: somebody else may have made ours first. */
async function refuseForeign(dir: string): Promise<void> {
  const facts = await lstat(dir);
  const { uid } = userInfo();
  if (facts.isSymbolicLink() ? (await stat(dir)).uid !== uid : facts.uid !== uid) {
    throw new Fault('forbidden', `Redis folder ${dir} belongs to another user`);
  }
}

/** Writes the configuration: durable, and refusing writes rather than dropping data. */
export async function writeConf(layout: Layout, maxMemoryBytes: number): Promise<void> {
  const lines = [
    '# Written at every start; edits are lost.',
    `dir ${quoted(layout.dir)}`,
    'port 0',
    `unixsocket ${quoted(layout.socket)}`,
    'unixsocketperm 700',
    `pidfile ${quoted(layout.pid)}`,
    `logfile ${quoted(layout.log)}`,
    'loglevel notice',
    'daemonize no',
    'save ""',
    'appendonly yes',
    'appendfsync always',
    'aof-load-truncated yes',
    `maxmemory ${maxMemoryBytes}`,
    'maxmemory-policy noeviction',
  ];
  await writeFile(layout.conf, `${lines.join('\n')}\n`, { mode: 0o600 });
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

const longestLogBytes = 1_000_000;

/** Keeps the log and one older part. Redis opens the file for each line, so a rename is safe at any time. */
export async function boundLog(layout: Layout): Promise<void> {
  const size = await stat(layout.log).then(
    (facts) => facts.size,
    () => 0,
  );
  if (size > longestLogBytes) await rename(layout.log, `${layout.log}.1`);
}
