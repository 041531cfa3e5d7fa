import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { atLeast, checkBinary, findRedisBinary } from '../../runtime/redis/version.ts';
import { rejection } from '../support/rejection.ts';

describe('Redis program', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hence-test-'));
  });

  afterEach(() => rm(dir, { recursive: true, force: true }));

  async function program(name: string, output: string, mode = 0o755): Promise<string> {
    const file = join(dir, name);
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, `#!/bin/sh\necho '${output}'\n`);
    await chmod(file, mode);
    return file;
  }

  it('is redis-server wherever it is on the PATH, else valkey-server', async () => {
    const path = ['a', 'b', 'c'].map((name) => join(dir, name)).join(delimiter);
    expect(findRedisBinary(path)).to.equal(undefined);
    expect(findRedisBinary(undefined)).to.equal(undefined);
    const valkey = await program('a/valkey-server', '');
    expect(findRedisBinary(path)).to.equal(valkey);
    await program('b/redis-server', '', 0o644);
    await mkdir(join(dir, 'a/redis-server'));
    expect(findRedisBinary(path)).to.equal(valkey);
    const redis = await program('c/redis-server', '');
    expect(findRedisBinary(path)).to.equal(redis);
  });

  it('tells its version', async () => {
    const redis = await program('redis-server', 'Redis server v=6.2.0 sha=0:0 malloc=x bits=64');
    expect(await checkBinary(redis)).to.equal('6.2.0');
    const valkey = await program('valkey-server', 'Valkey server v=8.1.1 sha=0:0 bits=64');
    expect(await checkBinary(valkey)).to.equal('8.1.1');
  });

  for (const [output, sentence] of [
    ['Redis server v=6.0.16 sha=0:0', 'is version 6.0.16; at least 6.2 is needed'],
    ['hello', 'is no Redis'],
  ] as const) {
    it(`is refused when it says "${output}"`, async () => {
      const file = await program('redis-server', output);
      const fault = await rejection(checkBinary(file));
      expect(fault).to.be.instanceOf(Fault);
      expect(fault.message).to.contain(file).and.to.contain(sentence);
    });
  }

  it('is refused when it does not exist', async () => {
    const fault = await rejection(checkBinary(join(dir, 'none')));
    expect(fault.message).to.equal(`${join(dir, 'none')} does not run: no such program`);
  });

  it('is compared number by number', () => {
    expect(atLeast('6.2', '6.2')).to.equal(true);
    expect(atLeast('6.1.99', '6.2')).to.equal(false);
    expect(atLeast('6.10', '6.2')).to.equal(true);
    expect(atLeast('7', '6.2')).to.equal(true);
    expect(atLeast('6', '6.2')).to.equal(false);
    expect(atLeast('8.0-rc1', '6.2')).to.equal(true);
    expect(atLeast('unknown', '6.2')).to.equal(false);
  });
});
