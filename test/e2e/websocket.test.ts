import { once } from 'node:events';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { Client, gist } from '../channels/websocket/fixture.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'desk.ts': `import { Fault, Service } from 'hence';
export class Echo extends Service {
  handle() {
    const { clientId, clientName, attrs, channel, user } = this.wsx;
    return { input: this.request.input, raw: this.request.rawRequest, client: { clientId, clientName, attrs, channel, user } };
  }
}
export class Ask extends Service {
  async handle() {
    return { said: await this.wsx.invoke({ question: this.request.input.question }, { timeout: '5s' }) };
  }
}
export class Broken extends Service { handle() { throw new Error('secret of the house'); } }
export class Refuse extends Service { handle() { throw new Fault('conflict', 'Order 7 exists already'); } }
export class Slow extends Service {
  async handle() {
    await this.kvdb.conn.set('begun', 'yes');
    await new Promise((done) => setTimeout(done, 400));
    return 'done';
  }
}
`,
  'version.ts': `import { Service } from 'hence';
export class Say extends Service { handle() { return { version: 1 }; } }
`,
};

const yaml = `security:
  partner: { type: basic, username: partner, password: pass.1 }
channels:
  hub: { type: websocket, path: /hub, gateway: true, security: partner, allow: ['zato.ping', 'desk.*', 'version.say'] }
  desk: { type: websocket, path: /desk, service: desk.echo }
  say: { path: /say, service: version.say }
`;

describe('WebSocket channels of a running system', () => {
  let system: System;
  const opened: Client[] = [];

  const connect = async (path: string): Promise<Client> => {
    const socket = new WebSocket(`${system.url.replace('http', 'ws')}${path}`);
    const client = new Client(socket);
    opened.push(client);
    await once(socket, 'open');
    return client;
  };
  const partner = { username: 'partner', secret: 'pass.1' };
  const loggedIn = async (path: string, meta: object = partner): Promise<Client> => {
    const client = await connect(path);
    await client.login({ ...meta });
    return client;
  };
  const statusOf = async (path: string): Promise<number | undefined> => {
    const socket = new WebSocket(`${system.url.replace('http', 'ws')}${path}`);
    socket.on('error', () => undefined);
    const [, response] = await once(socket, 'unexpected-response');
    socket.terminate();
    return response.statusCode;
  };
  const kept = async (key: string): Promise<unknown> =>
    (await system.admin('POST', '/api/kvdb', { command: ['GET', key] })).json<{ result: unknown }>()
      .result;

  before(async () => {
    system = await startSystem({ services, yaml, args: ['--workers', '2'] });
  });
  after(async () => {
    for (const { socket } of opened) socket.terminate();
    await system.stop();
  });

  it('log a client in and let it call the services of a gateway by name', async () => {
    const client = await connect('/hub');
    const login = await client.login({ ...partner, client_id: 'c7', attrs: { room: 'b' } });
    expect(login.meta).to.include({ msg_type: 'zwsx.rspa', status: 200 });
    expect(client.token).to.match(/^zwsxt\.[0-9a-f]{32}$/);

    const ping = await client.invoke({ service: 'zato.ping', request: {} });
    expect(ping.data).to.deep.equal({ pong: 'zato' });

    const { data } = await client.invoke({
      service: 'desk.echo',
      request: { no: 7, text: 'zażółć 🙂' },
    });
    expect(data).to.deep.equal({
      input: { no: 7, text: 'zażółć 🙂' },
      raw: '{"no":7,"text":"zażółć 🙂"}',
      client: {
        clientId: 'c7',
        clientName: 'My client',
        attrs: { room: 'b' },
        channel: 'hub',
        user: 'partner',
      },
    });
    await client.close();
  });

  it('answer what fails with its status, and go on', async () => {
    const client = await loggedIn('/hub');
    const failures: unknown[] = [];
    for (const service of ['desk.refuse', 'desk.broken', 'desk.nobody', 'order.created']) {
      const frame = await client.invoke({ service, request: {} });
      const { status, error_message: sentence, msg_type: type } = frame.meta;
      expect(type).to.equal('zwsx.rsperr');
      expect(frame.data).to.have.keys('cid');
      failures.push([status, sentence]);
    }
    expect(failures).to.deep.equal([
      [409, 'Order 7 exists already'],
      [500, 'Internal server error'],
      [404, 'No such service: desk.nobody'],
      [403, 'You are not allowed to access this resource'],
    ]);
    expect((await client.invoke({ service: 'zato.ping' })).meta.status).to.equal(200);
    await client.close();
  });

  it('give all that comes to the one service that is mounted', async () => {
    const client = await loggedIn('/desk', {});
    const { data } = await client.invoke({ no: 7 });
    expect(data).to.deep.equal({
      input: { no: 7 },
      raw: '{"no":7}',
      client: { clientId: 'c1', clientName: 'My client', attrs: {}, channel: 'desk' },
    });
    await client.close();
  });

  it('carry the questions of services to their client, and its answers back', async () => {
    const client = await loggedIn('/hub');
    const id = client.send('invoke-service', {}, { service: 'desk.ask', request: { question: 6 } });
    const question = await client.next();
    expect(gist(question)).to.deep.equal({
      meta: { msg_type: 'zwsx.rqc' },
      data: { question: 6 },
    });
    client.send('client-response', { in_reply_to: question.meta.id }, { response: 42 });
    const answer = await client.next();
    expect([answer.meta.in_reply_to, answer.data]).to.deep.equal([id, { said: 42 }]);
    await client.close();
  });

  it('turn away whom they do not know, and what is no WebSocket', async () => {
    const client = await connect('/hub');
    client.send('create-session', { username: 'partner', secret: 'wrong' }, {});
    expect(gist(await client.next())).to.deep.equal({
      meta: { msg_type: 'zwsx.merr', status: 403 },
      data: 'You are not authorized to access this resource',
    });
    await client.closed;
    const plain = await system.get('/hub');
    expect([plain.status, await plain.text()]).to.deep.equal([400, '{"error":"Bad request"}']);
    expect(await statusOf('/nowhere')).to.equal(404);
  });

  it('call the newest version of a service over connections that are open', async () => {
    const client = await loggedIn('/hub');
    const version = async () => (await client.invoke({ service: 'version.say' })).data;
    expect(await version()).to.deep.equal({ version: 1 });
    await system.save('version.ts', services['version.ts'].replace('version: 1', 'version: 2'));
    await until(async () => (await system.service('version.say'))?.version === 2);
    expect(await version()).to.deep.equal({ version: 2 });
    await client.close();
  });

  it('are made, changed and removed from the command line while others are served', async () => {
    const other = await loggedIn('/hub');
    const made = await system.cli(
      ...['channel', 'create', 'live', '--type', 'websocket', '--path', '/live'],
      ...['--service', 'desk.echo', '--security', 'partner', '--max-frame', '4kb'],
    );
    expect([made.code, made.stderr]).to.deep.equal([0, '']);
    const client = await until(() => loggedIn('/live').catch(() => undefined));
    expect((await client.invoke({ no: 1 })).meta.status).to.equal(200);

    expect((await system.cli('channel', 'edit', 'live', '--service', 'desk.refuse')).code).to.equal(
      0,
    );
    expect(await client.closed).to.deep.equal({ code: 4005, reason: 'The channel has changed' });
    const again = await until(() => loggedIn('/live').catch(() => undefined));
    expect((await again.invoke({ no: 1 })).meta.status).to.equal(409);

    expect((await system.cli('channel', 'delete', 'live', '--yes')).code).to.equal(0);
    expect((await again.closed).code).to.equal(4005);
    expect((await other.invoke({ service: 'zato.ping' })).meta.status).to.equal(200);
    await other.close();
  });

  it('end with their worker when it is killed, and the next one takes their clients', async () => {
    const client = await loggedIn('/hub');
    for (const pid of await system.workerPids('serving')) process.kill(pid, 'SIGKILL');
    expect((await client.closed).code).to.equal(1006);
    const again = await until(() => loggedIn('/hub').catch(() => undefined));
    expect((await again.invoke({ service: 'zato.ping' })).meta.status).to.equal(200);
    await again.close();
  });

  it('answer what is under way at a SIGTERM, and then say 1001', async () => {
    const [busy, idle] = [await loggedIn('/hub'), await loggedIn('/desk', {})];
    const id = busy.send('invoke-service', {}, { service: 'desk.slow' });
    await until(async () => (await kept('begun')) === 'yes');
    system.signal('SIGTERM');
    const frame = await busy.next();
    expect([frame.meta.in_reply_to, frame.data]).to.deep.equal([id, 'done']);
    const closing = { code: 1001, reason: 'Server is shutting down' };
    expect([await busy.closed, await idle.closed]).to.deep.equal([closing, closing]);
    expect(await system.exited).to.equal(0);
  });
});
