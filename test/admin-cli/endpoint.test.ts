import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../runtime/admin/admin.ts';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { endpointType } from '../../runtime/pubsub/endpoint-definition.ts';
import { definitionTypes } from '../../runtime/roof/definition-types.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import { Sealer } from '../../runtime/security/sealer.ts';
import { memoryLog, openStore, type TestStore } from '../config/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type Outcome, runHence } from './support/hence.ts';

const name = 'My REST Endpoint';

describe('Endpoints by the hence command', () => {
  let redis: TestRedis;
  let definitions: TestStore;
  let server: AdminServer;
  let cwd: string;

  before(async () => {
    redis = await startRedis();
    cwd = await mkdtemp(join(tmpdir(), 'hence-cli-'));
    const hasher = new PasswordHasher();
    const { security } = definitionTypes({ hasher, sealer: new Sealer(randomBytes(32)) });
    // Each type knows its own spec; the store hands each back what that type has checked.
    const types = [security, endpointType()] as readonly unknown[] as readonly DefinitionType[];
    definitions = await openStore(redis.path, { types });
    const passwordHash = await hasher.hash('p');
    await definitions.store.put('security', 'crm', { username: 'crm', passwordHash });
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

  const hence = (...args: readonly string[]): Promise<Outcome> =>
    runHence(['endpoint', ...args], { cwd });
  const spec = () => definitions.store.get('endpoint', name)?.spec;

  it('are created, listed, shown, edited and deleted, names with spaces too', async () => {
    const made = await hence(
      ...['create', name, '--security', 'crm', '--publish', '/Zato/demo/*', '/a'],
      ...['--subscribe', '/zato/**'],
    );
    expect(made.stderr).to.equal('');
    expect(made.stdout).to.match(/^endpoint My REST Endpoint created, revision \d+\n$/);
    expect(spec()).to.deep.equal({
      role: 'pub-sub',
      security: 'crm',
      publish: ['/zato/demo/*', '/a'],
      subscribe: ['/zato/**'],
    });

    const list = await hence('list');
    expect(list.stdout).to.match(
      /^My REST Endpoint +pub-sub +crm +\/zato\/demo\/\*, \/a +\/zato\/\*\*$/m,
    );
    const shown = await hence('show', name, '--json');
    expect(JSON.parse(shown.stdout)).to.include({ name, role: 'pub-sub', security: 'crm' });

    const refused = await hence('edit', name, '--role', 'sub-only');
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.contain('an endpoint that is sub-only has no patterns to publish');
    const edited = await hence('edit', name, '--role', 'sub-only', '--set', 'publish=[]');
    expect([edited.code, edited.stderr]).to.deep.equal([0, '']);
    expect(spec()).to.deep.include({ role: 'sub-only', publish: [] });

    expect((await hence('delete', name, '--yes')).code).to.equal(0);
    expect((await hence('show', name)).code).to.equal(3);
  });

  it('are refused with what is wrong', async () => {
    await hence('create', 'first', '--security', 'crm');
    const taken = await hence('create', 'second', '--security', 'crm');
    expect([taken.code, taken.stderr]).to.deep.equal([
      4,
      'error  endpoint second: security crm already belongs to endpoint first\n',
    ]);
    for (const [args, code, text] of [
      [['create', '/x'], 2, 'Not a name for an endpoint: 1-128 letters'],
      [['create', 'x', '--role', 'both'], 2, 'pub-only'],
      [['create', 'x', '--security', 'nobody'], 2, 'nobody'],
      [['create', 'x', '--publish', 'a#b'], 2, 'cannot contain "#"'],
    ] as const) {
      const outcome = await hence(...args);
      expect(outcome.stderr).to.contain(text);
      expect(outcome.code).to.equal(code);
    }
  });
});
