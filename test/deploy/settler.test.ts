import { appendFile, rename, rm, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { Settler } from '../../runtime/deploy/settler.ts';
import type { Batch } from '../../runtime/deploy/source.ts';
import { until } from '../support/until.ts';
import { tempDir } from './project.ts';

describe('Settler', () => {
  let dir: string;
  let settler: Settler;
  let batches: Batch[];
  beforeEach(async () => {
    dir = await tempDir();
    batches = [];
    settler = new Settler({
      projectDir: dir,
      servicesDir: dir,
      onBatch: (batch) => batches.push(batch),
    });
  });
  afterEach(async () => {
    settler.stop();
    await rm(dir, { recursive: true });
  });

  const path = (name: string) => join(dir, name);
  const texts = () =>
    batches.flatMap((batch) =>
      [...batch.changed.values()].map((source) => source.bytes.toString()),
    );

  it('gives a file once it was quiet for 20 ms', async () => {
    const since = Date.now();
    await writeFile(path('a.ts'), 'whole');
    settler.touch(path('a.ts'));
    await until(() => batches.length > 0);
    expect(Date.now() - since).to.be.within(15, 200);
    expect(texts()).to.deep.equal(['whole']);
  });

  it('never gives a part of a file that is written in chunks', async () => {
    for (const chunk of ['one ', 'two ', 'three ', 'four']) {
      await appendFile(path('a.ts'), chunk);
      settler.touch(path('a.ts'));
      await pause(10);
    }
    await until(() => batches.length > 0);
    expect(texts()).to.deep.equal(['one two three four']);
  });

  it('does not give the emptiness between truncating and writing', async () => {
    await writeFile(path('a.ts'), 'old');
    await settler.adopt(path('a.ts'));
    await truncate(path('a.ts'));
    settler.touch(path('a.ts'));
    await pause(60);
    await writeFile(path('a.ts'), 'new');
    await until(() => batches.length > 0);
    expect(texts()).to.deep.equal(['new']);
    expect(batches[0]?.refused.size).to.equal(0);
  });

  it('refuses a file that stays empty for 300 ms', async () => {
    const since = Date.now();
    await writeFile(path('a.ts'), '');
    settler.touch(path('a.ts'));
    await until(() => batches.length > 0);
    expect(Date.now() - since).to.be.greaterThanOrEqual(295);
    expect(batches[0]?.refused.get(path('a.ts'))?.message).to.equal('a.ts is empty');
  });

  it('sees the second of two quick writes, of which only the first was told', async () => {
    await writeFile(path('a.ts'), 'first');
    settler.touch(path('a.ts'));
    await until(() => batches.length > 0);
    await writeFile(path('a.ts'), 'second');
    await until(() => batches.length > 1);
    expect(texts()).to.deep.equal(['first', 'second']);
  });

  it('says nothing of a file written again as it was', async () => {
    await writeFile(path('a.ts'), 'same');
    await settler.adopt(path('a.ts'));
    await writeFile(path('a.ts'), 'same');
    settler.touch(path('a.ts'));
    await writeFile(path('b.ts'), 'other');
    settler.touch(path('b.ts'));
    await until(() => batches.length > 0);
    expect([...(batches[0]?.changed.keys() ?? [])]).to.deep.equal([path('b.ts')]);
  });

  it('takes an absence of 150 ms for a deletion, and a shorter one for a save', async () => {
    await writeFile(path('a.ts'), 'old');
    await writeFile(path('b.ts'), 'old');
    await settler.adopt(path('a.ts'));
    await settler.adopt(path('b.ts'));
    await unlink(path('a.ts'));
    await rename(path('b.ts'), path('b.ts~'));
    const since = Date.now();
    settler.touch(path('a.ts'));
    settler.touch(path('b.ts'));
    await pause(50);
    await writeFile(path('b.ts'), 'new');
    await until(() => batches.length > 0);
    expect(Date.now() - since).to.be.greaterThanOrEqual(148);
    expect([...(batches[0]?.removed ?? [])]).to.deep.equal([path('a.ts')]);
    expect(texts()).to.deep.equal(['new']);
    expect(batches).to.have.length(1);
  });

  it('gives a burst as one batch, but waits no longer than 250 ms for a busy file', async () => {
    await writeFile(path('a.ts'), 'quiet');
    settler.touch(path('a.ts'));
    let edits = 0;
    while (batches.length === 0) {
      await writeFile(path('busy.ts'), `edit ${++edits}`);
      settler.touch(path('busy.ts'));
      await pause(8);
    }
    expect(texts()).to.deep.equal(['quiet']);
    await until(() => batches.length > 1);
    expect(texts()).to.deep.equal(['quiet', `edit ${edits}`]);
  });

  it('does not wait for the future when a clock is ahead', async () => {
    await writeFile(path('a.ts'), 'tomorrow');
    const ahead = new Date(Date.now() + 3_600_000);
    await utimes(path('a.ts'), ahead, ahead);
    settler.touch(path('a.ts'));
    await until(() => batches.length > 0, 1_000);
    expect(texts()).to.deep.equal(['tomorrow']);
  });

  it('tells which of several files is not as it was read', async () => {
    await writeFile(path('a.ts'), 'old');
    await settler.adopt(path('a.ts'));
    expect(settler.touchStale([path('a.ts'), path('unknown.ts')])).to.equal(false);
    await writeFile(path('a.ts'), 'new');
    expect(settler.touchStale([path('a.ts')])).to.equal(true);
    await until(() => batches.length > 0);
    expect(texts()).to.deep.equal(['new']);
  });
});
