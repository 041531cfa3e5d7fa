import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { expect } from 'chai';
import { Pool } from 'undici';
import { PasswordHasher } from '../../../runtime/security/password.ts';
import type { Reply } from '../../../runtime/service/call.ts';
import { until } from '../../support/until.ts';
import { ask, channel, reply, serving, stopAll } from './fixture.ts';

describe('ChannelServer', () => {
  afterEach(stopAll);

  it('serves channels from the moment they are set until they are removed', async () => {
    const at = await serving({ channels: {} });
    const statusAt = async (path: string) => (await ask(at, 'GET', path)).status;
    expect(await statusAt('/a')).to.equal(404);
    at.channels.set(channel('one', { path: '/a' }));
    expect(await statusAt('/a')).to.equal(200);
    at.channels.set(channel('one', { path: '/b/{x}' }));
    expect([await statusAt('/a'), await statusAt('/b/1')]).to.deep.equal([404, 200]);
    at.channels.set(channel('one', { path: '/b/{x}', enabled: false }));
    expect(await statusAt('/b/1')).to.equal(404);
    at.channels.set(channel('one', { path: '/b/{x}' }));
    at.channels.remove('one');
    expect(await statusAt('/b/1')).to.equal(404);
  });

  it('serves exactly what an update gave, and keeps what did not change', async () => {
    const at = await serving({ channels: {} });
    const kept = channel('kept', { path: '/kept' });
    at.channels.update([kept, channel('gone', { path: '/x' })]);
    const before = at.channels.routes.get('kept');
    at.channels.update([kept, channel('new', { path: '/x' })]);
    expect(at.channels.routes.get('kept')).to.equal(before);
    expect([...at.channels.routes.names()]).to.have.members(['kept', 'new']);
    await ask(at, 'GET', '/x');
    expect(at.log.lines.at(-1)?.facts).to.include({ channel: 'new' });
  });

  it('leaves out a channel that cannot be served, and says so', async () => {
    const at = await serving({ channels: {} });
    const { spec } = channel('bad', { path: '/a' });
    at.channels.update([
      { name: 'bad', spec: { ...spec, path: 'no-path' } },
      channel('good', { path: '/good' }),
    ]);
    expect((await ask(at, 'GET', '/good')).status).to.equal(200);
    expect(at.log.lines[0]).to.deep.include({ level: 'error', message: 'channel not served' });
  });

  it('fails no request while a channel is edited under traffic', async () => {
    const at = await serving({ channels: { it: { path: '/it', service: 'v0' } } });
    const pool = new Pool(`http://127.0.0.1:${at.port}`, { connections: 8 });
    try {
      let edits = 0;
      const statuses = new Set<number>();
      const client = async () => {
        while (edits < 200) {
          const { statusCode, body } = await pool.request({ path: '/it', method: 'GET' });
          await body.dump();
          statuses.add(statusCode);
        }
      };
      const editor = async () => {
        for (; edits < 200; edits++) {
          at.channels.set(channel('it', { path: '/it', service: `v${edits}` }));
          at.channels.set(channel('other', { path: `/${edits}/{x}` }));
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await Promise.all([editor(), ...Array.from({ length: 8 }, client)]);
      expect([...statuses]).to.deep.equal([200]);
      expect(new Set(at.calls.map(({ service }) => service)).size).to.be.above(5);
    } finally {
      await pool.close();
    }
  });

  it('serves 10,000 channels', async () => {
    const at = await serving({ channels: {} });
    at.channels.update(
      Array.from({ length: 10_000 }, (_, n) =>
        channel(`c${n}`, { path: n % 2 ? `/x/${n}` : `/y/${n}/{id}`, service: `s${n}` }),
      ),
    );
    await ask(at, 'GET', '/x/9999');
    await ask(at, 'GET', '/y/5000/7');
    expect(at.calls.map(({ service, input }) => [service, input])).to.deep.equal([
      ['s9999', {}],
      ['s5000', { id: '7' }],
    ]);
    expect((await ask(at, 'GET', '/x/10000')).status).to.equal(404);
  });

  it('counts what is in flight and what is done', async () => {
    const settle: ((reply: Reply) => void)[] = [];
    const at = await serving({ service: () => new Promise((resolve) => settle.push(resolve)) });
    const answers = [ask(at, 'GET', '/echo'), ask(at, 'GET', '/echo')];
    await until(() => settle.length === 2);
    expect([at.channels.inFlight, at.channels.served]).to.deep.equal([2, 0]);
    settle[0]?.(reply(1));
    await Promise.race(answers);
    await until(() => at.channels.inFlight === 1);
    settle[1]?.(reply(2));
    await Promise.all(answers);
    await until(() => at.channels.served === 2);
    expect(at.channels.inFlight).to.equal(0);
  });

  describe('when it drains', () => {
    it('finishes what is in flight, and ends connections with their next reply', async () => {
      let settle: (reply: Reply) => void = () => undefined;
      const at = await serving({
        channels: { slow: { path: '/slow' }, quick: { path: '/quick' } },
        service: ({ http }) =>
          http?.path === '/slow' ? new Promise((resolve) => (settle = resolve)) : reply('quick'),
      });
      const idle = connect(at.port, '127.0.0.1');
      idle.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n');
      const [first] = (await once(idle, 'data')) as [Buffer];
      expect(first.toString()).to.match(/connection: keep-alive/i);

      const slow = ask(at, 'GET', '/slow');
      await until(() => at.channels.inFlight === 1);
      let drained = false;
      const drain = at.channels.drain().then(() => {
        drained = true;
      });

      idle.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n');
      const [second] = (await once(idle, 'data')) as [Buffer];
      expect(second.toString()).to.match(/connection: close/i);
      await once(idle, 'close');
      expect(drained).to.equal(false);

      settle(reply(['done']));
      const answer = await slow;
      expect([answer.text, answer.headers.connection]).to.deep.equal(['["done"]', 'close']);
      await drain;
      expect(at.channels.inFlight).to.equal(0);
    });

    it('ends connections with errors and with what the fallback answers, too', async () => {
      const at = await serving({
        fallback: (_, res) => {
          res.end('other');
          return true;
        },
      });
      await at.channels.drain();
      const agent = new Agent({ keepAlive: true });
      try {
        for (const [path, method] of [
          ['/elsewhere', 'GET'],
          ['/echo?__proto__=1', 'GET'],
        ] as const) {
          const req = request({ port: at.port, path, method, agent }).end();
          const [res] = await once(req, 'response');
          expect(res.headers.connection, path).to.equal('close');
          res.resume();
          await once(res, 'end');
        }
      } finally {
        agent.destroy();
      }
    });
  });

  describe('with security', () => {
    const authorization = (user: string, password: string) => ({
      Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
    });

    it('lets in who has the password, names the definition, and challenges the rest', async () => {
      const at = await serving({ channels: { it: { path: '/it', security: 'partner' } } });
      const passwordHash = await new PasswordHasher().hash('s\u00e9cret:1');
      const spec = { type: 'basic', username: 'joe', passwordHash, realm: 'Orders' } as const;
      at.authenticator.update([{ name: 'partner', spec }]);

      for (let n = 0; n < 2; n++) {
        const headers = authorization('joe', 's\u00e9cret:1');
        const good = await ask(at, 'POST', '/it', { body: '{"a":1}', headers });
        expect([good.status, good.json()]).to.deep.equal([200, { a: 1 }]);
        expect(at.calls.at(-1)?.http?.user).to.equal('partner');
      }
      const bodies = new Set<string>();
      for (const headers of [
        {},
        { Authorization: 'Basic !!!' },
        authorization('joe', 'wrong'),
        authorization('jim', 's\u00e9cret:1'),
      ]) {
        const bad = await ask(at, 'POST', '/it', { body: '{"a":1}', headers });
        expect(bad.status).to.equal(401);
        expect(bad.headers['www-authenticate']).to.equal('Basic realm="Orders", charset="UTF-8"');
        bodies.add(JSON.stringify((bad.json() as { error: unknown }).error));
      }
      expect(bodies.size).to.equal(1);
      expect(at.calls).to.have.length(2);
    });

    it('lets nobody in while the definition is not there', async () => {
      const at = await serving({ channels: { it: { path: '/it', security: 'partner' } } });
      const headers = authorization('joe', 'x');
      expect((await ask(at, 'GET', '/it', { headers })).status).to.equal(401);
    });
  });
});
