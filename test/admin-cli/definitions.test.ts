import { expect } from 'chai';
import { parse } from 'yaml';
import type { DefinitionView, Page } from '../../runtime/admin/api.ts';
import { AdminStandin } from './support/admin-standin.ts';
import { type Outcome, runHence } from './support/hence.ts';

describe('Definitions by the hence command', () => {
  let admin: AdminStandin;
  let env: Record<string, string>;

  beforeEach(async () => {
    admin = new AdminStandin();
    env = { HENCE_URL: await admin.start(), HENCE_TOKEN: admin.token };
  });
  afterEach(() => admin.stop());

  const hence = (args: readonly string[], input?: string): Promise<Outcome> =>
    runHence(args, { env, ...(input === undefined ? {} : { input }) });
  const sent = (): unknown => JSON.parse(admin.last.body);

  it('creates a channel out of flags, in one line', async () => {
    const { code, stdout, stderr } = await hence([
      ...['channel', 'create', 'notify', '--path', '/notify/{user}', '--service', 'a.b'],
      ...['--method', 'POST', '--security', 'partner', '--data-format', 'form'],
      ...['--timeout', '5s', '--max-body', '64kb', '--match-slash', '--disabled'],
      ...['--header', 'x-one=1', '--header', 'x-two=a=b'],
      ...['--set', 'extra.deep=[1,2]', '--set', 'label=some words'],
    ]);
    expect({ code, stdout, stderr }).to.deep.equal({
      code: 0,
      stdout: 'channel notify created, revision 4\n',
      stderr: '',
    });
    expect(sent()).to.deep.equal({
      name: 'notify',
      path: '/notify/{user}',
      service: 'a.b',
      method: 'POST',
      security: 'partner',
      dataFormat: 'form',
      timeout: '5s',
      maxBody: '64kb',
      matchSlash: true,
      enabled: false,
      headers: { 'x-one': '1', 'x-two': 'a=b' },
      extra: { deep: [1, 2] },
      label: 'some words',
    });
  });

  it('creates a WebSocket channel, whose gateway needs no service', async () => {
    const { code, stderr } = await hence([
      ...['channel', 'create', 'hub', '--type', 'websocket', '--path', '/hub', '--gateway'],
      ...['--allow', 'zato.*, orders.get', '--ping-interval', '10s', '--pings-missed', '3'],
      ...['--token-ttl', '2h', '--login-timeout', '1s', '--max-frame', '64kb', '--idle', '10m'],
      ...['--max-connections', '500', '--hook', 'hub.hook'],
    ]);
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    expect(sent()).to.deep.equal({
      name: 'hub',
      type: 'websocket',
      path: '/hub',
      gateway: true,
      allow: ['zato.*', 'orders.get'],
      pingInterval: '10s',
      pingsMissed: 3,
      tokenTtl: '2h',
      loginTimeout: '1s',
      maxFrame: '64kb',
      idle: '10m',
      maxConnections: 500,
      hook: 'hub.hook',
    });
    admin.put('channel', 'desk', { type: 'websocket', path: '/desk', service: 'desk.handle' });
    const { stdout } = await hence(['channel', 'list']);
    expect(stdout).to.match(/^desk +\/desk +websocket +desk\.handle/m);
    expect(stdout).to.match(/^hub +\/hub +websocket +gateway/m);
  });

  it('says nothing on success with -q, and the object with -o json', async () => {
    const create = ['channel', 'create', 'a', '--path', '/a', '--service', 's.a'];
    const quiet = await hence([...create, '-q']);
    expect(quiet).to.deep.equal({ code: 0, stdout: '', stderr: '' });
    create[2] = 'b';
    const { stdout } = await hence([...create, '--json']);
    expect((JSON.parse(stdout) as DefinitionView).name).to.equal('b');
  });

  it('names every missing flag at once, off a terminal', async () => {
    const { code, stdout, stderr } = await hence(['channel', 'create', 'notify']);
    expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
    expect(stderr).to.contain('--path <path>, --service <name>');
    expect(admin.seen).to.have.length(0);
    const security = await hence(['security', 'create', 'partner']);
    expect(security.stderr).to.contain('--username <name>, --password-stdin or --generate');
  });

  it('takes a required key from --set as well', async () => {
    const { code } = await hence(['channel', 'create', 'a', '--set', 'path=/a', '--service', 'b']);
    expect(code).to.equal(0);
  });

  it('shows every problem of a refused definition', async () => {
    const { code, stderr } = await hence('channel create a --path no-slash --service b'.split(' '));
    expect(code).to.equal(2);
    expect(stderr).to.contain('path  must start with a slash');
    expect(stderr).to.contain('service  no such service');
  });

  it('ends with 4 when the name is taken', async () => {
    admin.put('channel', 'notify', { path: '/a', service: 'b' });
    const { code, stderr } = await hence('channel create notify --path /b --service b'.split(' '));
    expect(code).to.equal(4);
    expect(stderr).to.contain('channel notify exists');
  });

  it('lists as a table, and as a wider one', async () => {
    admin.put('channel', 'notify', { path: '/notify', service: 'a.b', enabled: false });
    admin.put('channel', 'alpha', { path: '/alpha', service: 'a.c', method: 'GET' });
    const { stdout } = await hence(['channel', 'list']);
    expect(stdout).to.equal(
      [
        'NAME    PATH     METHOD  SERVICE  SECURITY  STATE',
        'alpha   /alpha   GET     a.c      -         enabled',
        'notify  /notify  any     a.b      -         disabled',
        '',
      ].join('\n'),
    );
    const wide = await hence(['channel', 'ls', '-o', 'wide']);
    expect(wide.stdout)
      .to.match(/REVISION +CHANGED\n/)
      .and.to.contain('just now');
  });

  it('prints the same list as JSON, NDJSON, YAML and names', async () => {
    admin.put('outgoing', 'b', { url: 'http://b' });
    admin.put('outgoing', 'a', { url: 'http://a' });
    const run = (format: string): Promise<Outcome> => hence(['outgoing', 'list', '-o', format]);
    const [json, ndjson, yaml, names] = await Promise.all(
      ['json', 'ndjson', 'yaml', 'name'].map(run),
    );
    const page = JSON.parse(json?.stdout ?? '') as Page<DefinitionView>;
    expect(page.total).to.equal(2);
    expect(page.items.map((item) => item.name)).to.deep.equal(['a', 'b']);
    const lines = ndjson?.stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(lines).to.deep.equal(page.items);
    expect(parse(yaml?.stdout ?? '')).to.deep.equal(page);
    expect(names?.stdout).to.equal('a\nb\n');
  });

  it('says how many more there are, on stderr', async () => {
    for (const name of ['a', 'b', 'c']) admin.put('channel', name, { path: `/${name}` });
    const { stdout, stderr } = await hence(['channel', 'list', '--limit', '2']);
    expect(stdout.trimEnd().split('\n')).to.have.length(3);
    expect(stderr).to.equal('2 of 3 · more: --limit 3\n');
    const all = await hence(['channel', 'list', '--limit', '3']);
    expect(all.stderr).to.equal('');
  });

  it('reads as many pages as the limit needs', async () => {
    for (let at = 0; at < 1_205; at++) admin.put('channel', `c${String(at).padStart(4, '0')}`, {});
    const { stdout } = await hence(['channel', 'list', '--limit', '1204', '-o', 'name']);
    expect(stdout.trimEnd().split('\n')).to.have.length(1_204);
    expect(stdout)
      .to.match(/^c0000\n/)
      .and.to.match(/c1203\n$/);
    expect(admin.seen.map((seen) => seen.query['limit'])).to.deep.equal(['1000', '204']);
  });

  it('says on stderr that a list is empty, and keeps JSON whole', async () => {
    expect(await hence(['channel', 'list'])).to.deep.equal({
      code: 0,
      stdout: '',
      stderr: 'no channels\n',
    });
    const { stdout } = await hence(['channel', 'list', '--json']);
    expect(JSON.parse(stdout)).to.deep.equal({ items: [], total: 0 });
  });

  it('shows one, with dotted keys', async () => {
    admin.put('outgoing', 'crm', { url: 'http://crm', retry: { attempts: 3, on: ['5xx', '429'] } });
    const { code, stdout } = await hence(['outgoing', 'show', 'crm']);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^url +http:\/\/crm$/m);
    expect(stdout)
      .to.match(/^retry\.attempts +3$/m)
      .and.to.match(/^retry\.on +5xx, 429$/m);
  });

  it('ends with 3 for what is not there, and says where to look', async () => {
    const { code, stderr } = await hence(['outgoing', 'show', 'nope']);
    expect(code).to.equal(3);
    expect(stderr).to.equal('error  No such outgoing: nope\nfix:   hence outgoing list\n');
  });

  it('edits by a patch of what the flags say, on top of the revision just read', async () => {
    admin.put('outgoing', 'crm', {
      url: 'http://crm',
      retry: { attempts: 3, delay: '1s' },
      headers: { a: '1', b: '2' },
    });
    const { code, stdout } = await hence([
      ...['outgoing', 'edit', 'crm', '--retry', '5', '--timeout', '9s'],
      ...['--set', 'headers.a=null'],
    ]);
    expect({ code, stdout }).to.deep.equal({
      code: 0,
      stdout: 'outgoing crm changed, revision 5\n',
    });
    expect(admin.last.method).to.equal('PATCH');
    expect(admin.last.headers['if-match']).to.equal('"4"');
    expect(sent()).to.deep.equal({
      timeout: '9s',
      retry: { attempts: 5, delay: '1s' },
      headers: { b: '2' },
    });
  });

  it('takes security and authentication away', async () => {
    admin.put('channel', 'a', { path: '/a', security: 'partner' });
    await hence(['channel', 'edit', 'a', '--no-security', '--no-match-slash', '--enabled']);
    expect(sent()).to.deep.equal({ security: 'none', matchSlash: false, enabled: true });
    admin.put('outgoing', 'b', { auth: { type: 'basic', username: 'u', password: '***' } });
    await hence(['outgoing', 'edit', 'b', '--no-auth']);
    expect(sent()).to.deep.equal({ auth: { type: 'none' } });
  });

  it('refuses an edit that says nothing, off a terminal', async () => {
    admin.put('channel', 'a', { path: '/a' });
    const { code, stderr } = await hence(['channel', 'edit', 'a']);
    expect(code).to.equal(2);
    expect(stderr).to.contain('hence channel edit --help');
    expect(admin.seen).to.have.length(0);
  });

  it('deletes only with --yes off a terminal, and only the revision it has seen', async () => {
    admin.put('channel', 'a', { path: '/a' });
    const refused = await hence(['channel', 'delete', 'a']);
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.contain('needs --yes');
    expect(admin.definitions.get('channel')?.size).to.equal(1);
    const { code, stdout } = await hence(['channel', 'rm', 'a', '-y']);
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'channel a deleted\n' });
    expect(admin.last.headers['if-match']).to.equal('"4"');
    expect((await hence(['channel', 'delete', 'a', '-y'])).code).to.equal(3);
  });

  it('creates an outgoing connection with every flag', async () => {
    const { code } = await hence([
      ...['outgoing', 'create', 'pushover', '--address', 'https://api.pushover.net'],
      ...['--path', '/1/messages.json', '--method', 'post', '--data-format', 'form'],
      ...['--timeout', '15s', '--attempt-timeout', '6s', '--connect-timeout', '5s', '--pool', '2'],
      ...['--max-response', '64kb', '--retry', '3', '--retry-delay', '5s'],
      ...['--retry-on', '5xx,connect,timeout', '--retry-methods', 'get,post'],
      ...['--breaker', '5/30s', '--park-header', 'X-Limit-App-Reset'],
      ...['--ban-protection', '3/60s/5m', '--mode', 'standin', '--standin', 'pushover'],
      ...['--ping-path', '/', '--ping-method', 'head', '--header', 'accept=application/json'],
    ]);
    expect(code).to.equal(0);
    expect(sent()).to.deep.equal({
      name: 'pushover',
      url: 'https://api.pushover.net',
      path: '/1/messages.json',
      method: 'POST',
      dataFormat: 'form',
      timeout: '15s',
      attemptTimeout: '6s',
      connectTimeout: '5s',
      pool: 2,
      maxResponse: 65_536,
      retry: {
        attempts: 3,
        delay: '5s',
        on: ['5xx', 'connect', 'timeout'],
        methods: ['GET', 'POST'],
      },
      breaker: { failures: 5, reset: '30s' },
      park: { header: 'X-Limit-App-Reset' },
      banGuard: { refusals: 3, within: '60s', pause: '5m' },
      mode: 'standin',
      standin: 'pushover',
      ping: { path: '/', method: 'HEAD' },
      headers: { accept: 'application/json' },
    });
  });

  it('turns the breaker and the ban protection off', async () => {
    admin.put('outgoing', 'a', { breaker: { failures: 5, reset: '30s' } });
    await hence(['outgoing', 'edit', 'a', '--breaker', 'off', '--ban-protection', 'off']);
    expect(sent()).to.deep.equal({ breaker: 'off', banGuard: 'off' });
  });

  it('refuses values that cannot be, with exit code 2, before anything is sent', async () => {
    const wrong = [
      '--breaker 5',
      '--ban-protection 3/60s',
      '--pool two',
      '--max-response 64xb',
      '--header noequals',
      '--set =1',
      '--set __proto__.x=1',
      '--mode dead',
    ];
    await Promise.all(
      wrong.map(async (flags) => {
        const { code } = await hence(['outgoing', 'edit', 'a', ...flags.split(' ')]);
        expect({ flags, code }).to.deep.equal({ flags, code: 2 });
      }),
    );
    expect(admin.seen).to.have.length(0);
  });

  it('reads a password from standard input, and never shows it', async () => {
    const outcome = await hence(
      [...'outgoing create crm --address http://crm --username u --password-stdin -v'.split(' ')],
      'very secret\n',
    );
    expect(outcome.code).to.equal(0);
    expect(sent()).to.deep.include({
      auth: { type: 'basic', username: 'u', password: 'very secret' },
    });
    expect(outcome.stdout + outcome.stderr).not.to.contain('very secret');
  });

  it("reads a header's value from standard input", async () => {
    await hence(
      'outgoing create crm --address http://crm --auth-header X-Key --auth-value-stdin'.split(' '),
      'k-1',
    );
    expect(sent()).to.deep.include({ auth: { type: 'header', name: 'X-Key', value: 'k-1' } });
  });

  it('wants both halves of an authentication', async () => {
    const create = 'outgoing create crm --address http://crm'.split(' ');
    const half = await hence([...create, '--username', 'u']);
    expect(half.code).to.equal(2);
    expect(half.stderr).to.contain('needs --password-stdin');
    const empty = await hence([...create, '--username', 'u', '--password-stdin'], '');
    expect(empty.code).to.equal(2);
    expect(empty.stderr).to.contain('standard input is empty');
  });

  it('takes no secret from the command line, but the name of a variable', async () => {
    admin.put('outgoing', 'crm', { auth: { type: 'basic', username: 'u', password: '***' } });
    const edit = ['outgoing', 'edit', 'crm', '--set'];
    const { code, stderr } = await hence([...edit, 'auth.password=hunter2']);
    expect(code).to.equal(2);
    expect(stderr).to.contain('auth.password is a secret').and.not.to.contain('hunter2');
    const reference = ['$', '{env:CRM_PASSWORD}'].join('');
    expect((await hence([...edit, `auth.password=${reference}`])).code).to.equal(0);
    expect(sent()).to.deep.equal({ auth: { type: 'basic', username: 'u', password: reference } });
    const security = await hence(['security', 'edit', 'x', '--set', `password=${reference}`]);
    expect(security.code).to.equal(2);
  });

  it('makes a password, sends it and shows it this once', async () => {
    const { code, stdout, stderr } = await hence(
      'security create partner --username partner --generate'.split(' '),
    );
    expect(code).to.equal(0);
    const [, password = ''] = /^password {2}(\S{32})$/m.exec(stdout) ?? [];
    expect(sent()).to.deep.equal({ name: 'partner', type: 'basic', username: 'partner', password });
    expect(stderr).to.contain('shown this once');
    expect((await hence(['security', 'show', 'other'])).code).to.equal(3);
    const quiet = await hence('security edit partner --generate -q'.split(' '));
    expect(quiet.stdout).to.match(/^password {2}\S{32}\n$/);
    const json = await hence('security edit partner --generate --json'.split(' '));
    expect((JSON.parse(json.stdout) as DefinitionView)['password']).to.have.length(32);
  });

  it('does not take a password and make one at once', async () => {
    const { code } = await hence(
      'security create p --username p --generate --password-stdin'.split(' '),
    );
    expect(code).to.equal(2);
  });

  it('pings, and ends with 9 when one does not answer', async () => {
    admin.put('outgoing', 'pushover', {});
    admin.put('outgoing', 'down', {});
    const fine = await hence(['outgoing', 'ping', 'pushover']);
    expect(fine.code).to.equal(0);
    expect(fine.stdout).to.equal(
      'outgoing pushover ok · 200 · 41 ms · https://api.pushover.net/\n',
    );
    const down = await hence(['outgoing', 'ping', 'down']);
    expect(down.code).to.equal(9);
    expect(down.stdout).to.contain('outgoing down FAILED').and.to.contain('refused');
    const both = await hence(['outgoing', 'ping', 'pushover', 'down', '-o', 'json']);
    expect(both.code).to.equal(9);
    expect((JSON.parse(both.stdout) as Page<unknown>).total).to.equal(2);
    expect((await hence(['outgoing', 'ping', 'nope'])).code).to.equal(3);
  });
});
