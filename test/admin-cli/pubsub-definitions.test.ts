import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../runtime/admin/admin.ts';
import type { DefinitionView, PermissionCheck, RenameReport } from '../../runtime/admin/api.ts';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { definitionTypes } from '../../runtime/roof/definition-types.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import { Sealer } from '../../runtime/security/sealer.ts';
import { memoryLog, openStore, type TestStore } from '../config/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type Outcome, runHence, runInTerminal } from './support/hence.ts';

describe('Topics, subscriptions and permissions by the hence command', () => {
  let redis: TestRedis;
  let definitions: TestStore;
  let server: AdminServer;
  let cwd: string;

  before(async () => {
    redis = await startRedis();
    cwd = await mkdtemp(join(tmpdir(), 'hence-cli-'));
    const hasher = new PasswordHasher();
    const types = Object.values(definitionTypes({ hasher, sealer: new Sealer(randomBytes(32)) }));
    // Each type knows its own spec; the store hands each back what that type has checked.
    const known = types as readonly unknown[] as readonly DefinitionType[];
    definitions = await openStore(redis.path, { types: known });
    const passwordHash = await hasher.hash('p');
    for (const name of ['user.1', 'user.2', 'user.3']) {
      await definitions.store.put('security', name, { username: name, passwordHash });
    }
    // These commands ask for nothing but definitions.
    const ports: Partial<AdminPorts> = { definitions: definitions.store, env: () => undefined };
    const admin = new Admin(ports as AdminPorts);
    server = new AdminServer({ admin, dataDir: join(cwd, '.hence'), log: memoryLog() });
    await server.start({ port: 0 });
  });

  after(async () => {
    await server.stop();
    await definitions.close();
    await redis.stop();
    await rm(cwd, { recursive: true, force: true });
  });

  const hence = (...args: readonly string[]): Promise<Outcome> => runHence(args, { cwd });
  const spec = (type: string, name: string) =>
    definitions.store.get(type, name)?.spec as Readonly<Record<string, unknown>>;

  it('creates, lists, shows, edits and deletes topics of any name', async () => {
    const name = 'Orders/New $1 50%;a';
    const made = await hence(
      ...['topic', 'create', name, '--priority', '7', '--expiration', '7d'],
      ...['--max-size', '64kb', '--description', 'each order, once'],
    );
    expect(made.stderr).to.equal('');
    expect(made.stdout).to.match(/^topic orders\/new \$1 50%;a created, revision \d+\n$/);
    expect(spec('topic', name)).to.deep.equal({
      enabled: true,
      priority: 7,
      expiration: '7d',
      maxSize: '64kb',
      description: 'each order, once',
    });
    expect((await hence('topic', 'create', name.toUpperCase())).code).to.equal(4);
    expect((await hence('topic', 'edit', name, '--disabled')).code).to.equal(0);
    const shown = await hence('topic', 'show', name, '--json');
    expect(JSON.parse(shown.stdout)).to.include({ name: name.toLowerCase(), enabled: false });
    const list = await hence('topic', 'list');
    expect(list.stdout).to.match(/^orders\/new \$1 50%;a +disabled +each order, once$/m);
    expect((await hence('topic', 'delete', name, '--yes')).code).to.equal(0);
    expect((await hence('topic', 'show', name)).code).to.equal(3);
    const bad = await hence('topic', 'create', 'a#b');
    expect({ code: bad.code, stderr: bad.stderr }).to.deep.equal({
      code: 2,
      stderr: 'error  Topic name cannot contain "#" character\n',
    });
  });

  it('edits a topic of any name by hand', async () => {
    await hence('topic', 'create', 'by/hand 1');
    const editor = join(cwd, 'editor.sh');
    await writeFile(editor, '#!/bin/sh\necho "priority: 2" >> "$1"\n');
    await chmod(editor, 0o755);
    const { code, screen } = await runInTerminal(['topic', 'edit', 'by/hand 1'], {
      cwd,
      env: { EDITOR: editor },
    });
    expect(screen).to.contain('topic by/hand 1 changed');
    expect(code).to.equal(0);
    expect(spec('topic', 'by/hand 1')['priority']).to.equal(2);
  });

  it('creates subscriptions, pauses and resumes them, and keeps their queue', async () => {
    const made = await hence(
      ...['subscription', 'create', 'billing', '--topic', 'Orders.new', 'orders.*.eu'],
      ...['--service', 'billing.invoice', '--retry', '1s,10s', '--max-deliveries', '5'],
      ...['--batch', '10', '--concurrency', '4', '--max-depth', '1000', '--when-full', 'drop'],
      ...['--max-inflight', '20', '--lease', '1m'],
    );
    expect(made.stderr).to.equal('');
    const { subKey, ...first } = spec('subscription', 'billing');
    expect(first).to.deep.include({
      topics: ['orders.new', 'orders.*.eu'],
      delivery: 'push',
      retry: ['1s', '10s'],
      maxDeliveries: 5,
      batch: 10,
      concurrency: 4,
      maxDepth: 1_000,
      whenFull: 'drop',
      maxInflight: 20,
      lease: '1m',
    });
    expect((await hence('subscription', 'pause', 'billing')).stdout).to.match(
      /^subscription billing paused, revision \d+\n$/,
    );
    expect(spec('subscription', 'billing')).to.include({ paused: true, subKey });
    expect((await hence('subscription', 'pause', 'billing')).stdout).to.contain('paused already');
    const list = await hence('subscription', 'list');
    expect(list.stdout).to.match(
      /^billing +orders\.new, orders\.\*\.eu +push +service billing\.invoice +- +paused$/m,
    );
    expect((await hence('subscription', 'resume', 'billing')).stdout).to.contain('resumed');
    const edited = await hence('subscription', 'edit', 'billing', '--topic', 'orders.new');
    expect(edited.code).to.equal(0);
    expect(spec('subscription', 'billing')).to.deep.include({ topics: ['orders.new'], subKey });
    expect((await hence('subscription', 'pause', 'nothing')).code).to.equal(3);
  });

  it('names what is missing, and refuses what does not fit', async () => {
    const nothing = await hence('subscription', 'create', 's');
    expect(nothing.code).to.equal(2);
    expect(nothing.stderr).to.contain('--topic <patterns...>');
    const target = await hence('subscription', 'create', 's', '--topic', 'a', '--delivery', 'push');
    expect(target.code).to.equal(2);
    expect(target.stderr).to.contain('push needs a service or an outgoing connection');
    const permission = await hence('permission', 'create', '--publish', 'a');
    expect(permission.stderr).to.contain('--security <name>');
    expect(permission.stderr).to.contain('fix:   hence permission create --security <name>\n');
    const none = await hence('permission', 'create', '--security', 'user.1');
    expect(none.code).to.equal(2);
  });

  it('creates permissions, named by their security definition unless told otherwise', async () => {
    const made = await hence(
      ...['permission', 'create', '--security', 'user.1'],
      ...['--publish', 'Demo.1', 'orders.*', '--subscribe', 'demo.**'],
    );
    expect(made.stderr).to.equal('');
    expect(made.stdout).to.match(/^permission user\.1 created/);
    const list = await hence('permission', 'list');
    expect(list.stdout).to.match(/^user\.1 +user\.1 +demo\.1, orders\.\* +demo\.\*\*$/m);
    const other = await hence(
      'permission',
      'create',
      'x',
      '--security',
      'user.1',
      '--publish',
      'b',
    );
    expect(other.stdout).to.match(/^permission x created/);
    expect((await hence('permission', 'list')).stdout).to.match(/^x +user\.1 +b +-$/m);
  });

  it('says whether one may, and why', async () => {
    await definitions.store.put('permission', 'checked', {
      security: 'user.2',
      publish: ['demo.1', 'orders.*'],
    });
    const check = (...args: readonly string[]) => hence('permission', 'check', ...args);
    expect(await check('user.2', 'publish', 'DEMO.1')).to.deep.equal({
      code: 0,
      stdout: 'user.2 may publish to demo.1\n',
      stderr: '',
    });
    expect((await check('user.2', 'publish', 'orders.new', '--why')).stdout).to.equal(
      'user.2 may publish to orders.new: ' +
        'publish pattern orders.* of permission checked matches orders.new\n',
    );
    const denied = await check('user.2', 'subscribe', 'demo.1', '--why');
    expect(denied.code).to.equal(5);
    expect(denied.stdout).to.equal(
      'user.2 may not subscribe to demo.1: ' +
        'no subscribe pattern of permission checked matches demo.1\n',
    );
    const none = await check('user.3', 'publish', 'demo.1', '--why');
    expect(none).to.include({ code: 5 });
    expect(none.stdout).to.contain('no permission names security user.3');
    const nobody = await check('nobody', 'publish', 'demo.1', '--why');
    expect(nobody).to.include({ code: 5 });
    expect(nobody.stdout).to.contain('there is no security definition nobody');
    expect(await check('user.2', 'publish', 'demo.1', '-q')).to.include({ code: 0, stdout: '' });
    const json = await check('user.2', 'publish', 'demo.1', '--json');
    expect(JSON.parse(json.stdout) as PermissionCheck).to.deep.equal({
      security: 'user.2',
      operation: 'publish',
      topic: 'demo.1',
      allowed: true,
      pattern: 'demo.1',
      permission: 'checked',
      why: 'publish pattern demo.1 of permission checked matches demo.1',
    });
    expect((await check('user.2', 'write', 'demo.1')).code).to.equal(2);
    expect((await check('user.2', 'publish', 'a#b')).code).to.equal(2);
    expect((await check('user.2', 'publish', '')).code).to.equal(2);
  });

  it('warns of a subscription whose messages nobody may have', async () => {
    const args = ['subscription', 'create', 'reader', '--security', 'user.3'];
    const made = await hence(...args, '--topic', 'demo.1', 'orders.**');
    expect(made.code).to.equal(0);
    expect(made.stderr).to.contain('warning: user.3 may not subscribe to demo.1: no permission');
    expect(made.stderr).to.contain(
      "fix:     hence permission create --security user.3 --subscribe 'orders.**'",
    );
    await definitions.store.put('permission', 'user.3', {
      security: 'user.3',
      subscribe: ['demo.1', 'orders.*'],
    });
    const edited = await hence('subscription', 'edit', 'reader', '--batch', '5');
    expect(edited.stderr).to.contain('may not subscribe to orders.**');
    expect(edited.stderr).not.to.contain('demo.1');
    await definitions.store.patch('permission', 'user.3', { subscribe: ['demo.1', 'orders.**'] });
    expect((await hence('subscription', 'edit', 'reader', '--batch', '6')).stderr).to.equal('');
  });

  it('renames a topic with what names it exactly, as one revision', async () => {
    await definitions.store.change([
      { action: 'put', type: 'topic', name: 'old/1', spec: { priority: 8 } },
      {
        ...{ action: 'put', type: 'subscription', name: 'follower' },
        spec: { topics: ['a', 'old/1', 'old*'], service: 's.t' },
      },
      {
        ...{ action: 'put', type: 'permission', name: 'follower' },
        spec: { security: 'user.1', publish: ['old/1', 'old*'], subscribe: ['x'] },
      },
    ]);
    const { subKey } = spec('subscription', 'follower');
    const { revision } = definitions.store;
    const renamed = await hence('topic', 'rename', 'OLD/1', 'New/1');
    expect(renamed.stdout).to.equal(`topic new/1 renamed, revision ${revision + 1}\n`);
    expect(renamed.stderr).to.equal('subscription follower follows\npermission follower follows\n');
    expect(definitions.store.get('topic', 'old/1')).to.equal(undefined);
    expect(spec('topic', 'new/1')).to.include({ priority: 8 });
    expect(spec('subscription', 'follower')).to.deep.include({
      topics: ['a', 'new/1', 'old*'],
      subKey,
    });
    expect(spec('permission', 'follower')).to.deep.include({
      publish: ['new/1', 'old*'],
      subscribe: ['x'],
    });
    await definitions.store.put('topic', 'taken', {});
    expect((await hence('topic', 'rename', 'new/1', 'taken')).code).to.equal(4);
    expect((await hence('topic', 'rename', 'nothing', 'b')).code).to.equal(3);
    expect((await hence('topic', 'rename', 'new/1', 'NEW/1')).code).to.equal(2);
    expect((await hence('topic', 'rename', 'new/1', 'a#b')).code).to.equal(2);
    expect(definitions.store.get('topic', 'new/1')?.name).to.equal('new/1');
  });

  it('renames a subscription, whose queue stays', async () => {
    const before = (
      await definitions.store.put('subscription', 'first', { topics: ['a'], service: 's.t' })
    ).spec;
    const renamed = await hence('subscription', 'rename', 'first', 'second', '--json');
    const report = JSON.parse(renamed.stdout) as RenameReport;
    expect(report.changes.map(({ action, name }) => `${action} ${name}`)).to.deep.equal([
      'deleted first',
      'created second',
    ]);
    expect(definitions.store.get('subscription', 'first')).to.equal(undefined);
    expect(spec('subscription', 'second')).to.deep.equal(before);
    expect((await hence('subscription', 'rename', 'second', 'a b')).code).to.equal(2);
  });

  it('does not rename what others name', async () => {
    const path = `${server.url}/api/definitions/security/user.1/rename`;
    const reply = await fetch(path, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token}` },
      body: JSON.stringify({ to: 'user.9' }),
    });
    expect(reply.status).to.equal(400);
    expect(definitions.store.get('security', 'user.1')?.name).to.equal('user.1');
  });

  it('gives a place that leads to the new definition', async () => {
    const headers = { authorization: `Bearer ${server.token}` };
    const made = await fetch(`${server.url}/api/definitions/topic`, {
      ...{ method: 'POST', headers },
      body: JSON.stringify({ name: 'Place/of it' }),
    });
    expect(made.status).to.equal(201);
    const there = await fetch(`${server.url}${made.headers.get('location')}`, { headers });
    expect(((await there.json()) as DefinitionView).name).to.equal('place/of it');
  });
});
