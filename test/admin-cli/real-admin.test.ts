import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../runtime/admin/admin.ts';
import type { DefinitionView } from '../../runtime/admin/api.ts';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { DefinitionStore } from '../../runtime/config/store.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { LogHub } from '../../runtime/log/log-hub.ts';
import { Redactor } from '../../runtime/log/redact.ts';
import { definitionTypes } from '../../runtime/roof/definition-types.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import { Sealer } from '../../runtime/security/sealer.ts';
import { memoryLog } from '../config/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type Outcome, runHence } from './support/hence.ts';

/** Parts of the system that these tests do not have. */
const absent = async (): Promise<never> => {
  throw new Fault('unavailable', 'Not part of this test');
};

describe('The hence command and the real admin API', () => {
  let redis: TestRedis;
  let client: Redis;
  let store: DefinitionStore;
  let server: AdminServer;
  let cwd: string;

  before(async () => {
    redis = await startRedis();
    client = new Redis(redis.path);
    cwd = await mkdtemp(join(tmpdir(), 'hence-cli-'));
    const log = memoryLog();
    const sealer = new Sealer(randomBytes(32));
    const types = Object.values(definitionTypes({ hasher: new PasswordHasher(), sealer }));
    store = new DefinitionStore({
      redis: client,
      subscriber: () => new Redis(redis.path),
      // Each type knows its own spec; the store hands each back what that type has checked.
      types: types as readonly unknown[] as readonly DefinitionType[],
      log,
    });
    await store.start();
    const admin = new Admin({
      // Tested with a broker of their own.
      ...({} as Pick<AdminPorts, 'messages' | 'queues' | 'journeys' | 'schedules'>),
      system: { status: absent, readiness: absent, stop: () => undefined },
      services: {
        list: absent,
        show: async () => undefined,
        invoke: absent,
        deployFile: absent,
        reports: () => [],
      },
      definitions: store,
      env: () => undefined,
      outgoing: { ping: absent },
      kvdb: { command: ([name = '', ...args]) => client.call(name, ...args) },
      standins: { show: absent, clear: absent },
      invocations: { list: absent, retry: absent, delete: absent },
      logs: new LogHub({
        format: 'json',
        out: process.stdout,
        colour: false,
        redactor: new Redactor(),
      }),
    });
    server = new AdminServer({ admin, dataDir: join(cwd, '.hence'), log });
    await server.start({ port: 0 });
  });

  after(async () => {
    await server.stop();
    await store.stop();
    client.disconnect();
    await redis.stop();
    await rm(cwd, { recursive: true, force: true });
  });

  /** It finds the server by the file that the server has written. */
  const hence = (line: string, input?: string): Promise<Outcome> =>
    runHence(line.split(' '), { cwd, ...(input === undefined ? {} : { input }) });

  it('creates, edits and deletes definitions that hang together', async () => {
    const security = await hence(
      'security create partner --username partner --password-stdin',
      'very secret\n',
    );
    expect(security.stderr).to.equal('');
    expect(security.stdout).to.match(/^security partner created, revision \d+\n$/);
    const channel = await hence(
      'channel create notify --path /notify --service a.b --method post --security partner --max-body 64kb --header x-a=1',
    );
    expect(channel.stderr).to.equal('');
    const same = await hence('channel create other --path /notify --service a.b --method POST');
    expect(same.code).to.equal(4);
    const edited = await hence('channel edit notify --no-security --timeout 5s --json');
    const view = JSON.parse(edited.stdout) as DefinitionView;
    expect(view).to.deep.include({ security: 'none', timeout: '5s', method: 'POST' });
    expect((await hence('security edit partner --generate -q')).code).to.equal(0);
    const shown = await hence('security show partner --json');
    expect(shown.stdout).not.to.contain('very secret');
    const list = await hence('channel list');
    expect(list.stdout).to.match(/^notify +\/notify +POST +a\.b +none +enabled$/m);
    expect((await hence('channel delete notify --yes')).code).to.equal(0);
    expect((await hence('channel show notify')).code).to.equal(3);
  });

  it('creates an outgoing connection with every flag, and keeps its secret over an edit', async () => {
    const created = await hence(
      'outgoing create crm --address https://crm.example --path /1/x.json --method post ' +
        '--data-format form --timeout 15s --attempt-timeout 6s --connect-timeout 5s --pool 2 ' +
        '--max-response 64kb --retry 3 --retry-delay 5s --retry-on 5xx,connect,timeout ' +
        '--retry-methods get,post --breaker 5/30s --park-header X-Limit-App-Reset ' +
        '--ban-protection 3/60s/5m --mode standin --standin pushover --ping-path / ' +
        '--ping-method head --header accept=application/json --username u --password-stdin',
      'very secret',
    );
    expect(created.stderr).to.equal('');
    expect(created.code).to.equal(0);
    const before = store.get('outgoing', 'crm')?.spec as { auth: { password: string } };
    const edited = await hence('outgoing edit crm --username other --breaker off --retry 1');
    expect(edited.stderr).to.equal('');
    const after = store.get('outgoing', 'crm')?.spec as { auth: object; breaker: object };
    expect(after.auth).to.deep.equal({ ...before.auth, username: 'other' });
    expect(after.breaker).to.deep.include({ failures: 0 });
    const none = await hence('outgoing edit crm --no-auth');
    expect(none.code).to.equal(0);
    expect(store.get('outgoing', 'crm')?.spec).to.deep.include({ auth: { type: 'none' } });
    const wrong = await hence('outgoing edit crm --pool 0');
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.contain('pool');
  });

  it('exports what applies again without a change, and names the line of each problem', async () => {
    await hence('channel create again --path /again --service a.b');
    const exported = await hence('config export --out all.yaml');
    expect(exported.code).to.equal(0);
    const applied = await hence('config apply all.yaml');
    expect(applied.stderr).to.equal('');
    expect(applied.stdout).to.match(/^0 created, 0 changed, [1-9]\d* unchanged, revision \d+\n$/);
    await writeFile(join(cwd, 'bad.yaml'), 'channels:\n  - name: x\n    pth: /x\n');
    const bad = await hence('config apply bad.yaml');
    expect(bad.code).to.equal(2);
    expect(bad.stderr).to.match(/^ {2}bad\.yaml:\d+:\d+ {2}/m);
  });

  it('runs Redis commands', async () => {
    expect((await hence('kvdb hset users.sean pushover KEY')).stdout).to.equal('1\n');
    expect((await hence('kvdb hget users.sean pushover')).stdout).to.equal('KEY\n');
  });

  it('ends with 5 for another token', async () => {
    expect((await hence('channel list --token wrong')).code).to.equal(5);
  });
});
