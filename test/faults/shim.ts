import { execFile } from 'node:child_process';
import { mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { root } from '../support/root.ts';

const run = promisify(execFile);

/** Skips what needs the shim, and says why, where it cannot be made. */
export async function needShim(context: Mocha.Context): Promise<void> {
  if (process.platform === 'linux' && (await compilerIsThere())) return;
  console.warn('      skipped: it takes Linux and a C compiler, cc, to preload redis-server');
  context.skip();
}

function compilerIsThere(): Promise<boolean> {
  return run('cc', ['--version']).then(
    () => true,
    () => false,
  );
}

/** A real Redis on an imaginary disk and an imaginary clock. */
export interface ShimmedRedis extends TestRedis {
  /** Its clock goes wrong by so much, from now on. */
  setClock(aheadMs: number): Promise<void>;
  /** Every write to the append-only file fails, or no more. */
  setDiskFull(full: boolean): Promise<void>;
  /** As if the machine lost its power: what was not synced is gone. Resolves with how many bytes that were. */
  cutPower(): Promise<number>;
}

const places = { clock: 0, full: 8, synced: 16 };

export async function startShimmedRedis(args: readonly string[]): Promise<ShimmedRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'hence-test-shim-'));
  const library = join(dir, 'shim.so');
  const control = join(dir, 'control');
  await run('cc', [
    '-shared',
    '-fPIC',
    '-O1',
    '-o',
    library,
    join(root, 'test/faults/shim.c'),
    '-ldl',
  ]);
  await writeFile(control, Buffer.alloc(24));
  const server = await startRedis({
    args: ['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...args],
    env: { LD_PRELOAD: library, HENCE_SHIM: control },
  });
  const set = async (place: number, value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    const file = await open(control, 'r+');
    await file.write(bytes, 0, 8, place);
    await file.close();
  };
  return {
    path: server.path,
    dir: server.dir,
    get pid() {
      return server.pid;
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    setClock: (aheadMs) => set(places.clock, BigInt(aheadMs) * 1_000n),
    setDiskFull: (full) => set(places.full, full ? 1n : 0n),
    async cutPower() {
      await server.kill();
      const synced = await readNumber(control, places.synced);
      return await cut(join(server.dir, 'appendonlydir'), synced);
    },
    async stop() {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function readNumber(path: string, place: number): Promise<number> {
  const file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, place);
  await file.close();
  return Number(buffer.readBigInt64LE());
}

async function cut(dir: string, size: number): Promise<number> {
  const logs = (await readdir(dir)).filter((entry) => entry.endsWith('.incr.aof'));
  const [name, ...more] = logs;
  if (name === undefined || more.length > 0) throw new Error(`Not one log in ${dir}: ${logs}`);
  const path = join(dir, name);
  const file = await open(path);
  const { size: written } = await file.stat();
  await file.close();
  await truncate(path, size);
  return written - size;
}
