import { once } from 'node:events';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { type System, startSystem } from '../../support/system.ts';
import { until } from '../../support/until.ts';
import { Client } from './fixture.ts';

const desk = `import { Service } from 'hence';
export class Handle extends Service {
  async handle() {
    const heard = await this.wsx.invoke({ question: this.request.input.about });
    return { heard, client: this.wsx.clientName, user: this.wsx.user };
  }
}
export class Echo extends Service {
  handle() {
    return this.request.input;
  }
}
`;
const yaml = `
security:
  desk: { username: desk, password: desk.secret }
channels:
  desk: { type: websocket, path: /desk, service: desk.handle, security: desk }
  plain: { path: /plain, service: desk.echo }
`;

describe('WebSocket channels of a running system', () => {
  let system: System;

  before(async () => {
    system = await startSystem({ services: { 'desk.ts': desk }, yaml, args: ['--workers', '2'] });
  });
  after(() => system.stop());

  const open = async (path: string) => {
    const url = (await system.status()).channelsUrl.replace('http', 'ws');
    const client = new Client(new WebSocket(`${url}${path}`));
    await once(client.socket, 'open');
    return client;
  };

  it('share the port with HTTP, call services and are called by them', async () => {
    const client = await open('/desk');
    await client.login({ username: 'desk', secret: 'desk.secret' });
    const id = client.send('invoke-service', {}, { about: 'tea' });
    const question = await client.next();
    expect(question.data).to.deep.equal({ question: 'tea' });
    client.send(undefined, { in_reply_to: question.meta.id }, { response: 'yes' });
    const answer = await client.next();
    expect(answer.meta).to.include({ status: 200, in_reply_to: id });
    expect(answer.data).to.deep.equal({ heard: 'yes', client: 'My client', user: 'desk' });
    await client.close();
    const { channelsUrl } = await system.status();
    const plain = await fetch(`${channelsUrl}/plain`, { method: 'POST', body: '{"a":1}' });
    expect(await plain.json()).to.deep.equal({ a: 1 });
    expect((await fetch(`${channelsUrl}/desk`)).status).to.equal(400);
  });

  it('are made and changed while they run', async () => {
    const made = await system.cli(
      ...['channel', 'create', 'echo', '--type', 'websocket', '--path', '/echo'],
      ...['--service', 'desk.echo'],
    );
    expect(made.code, made.stderr).to.equal(0);
    const client = await until(() => open('/echo').catch(() => undefined));
    await client.login();
    expect((await client.invoke({ a: 1 })).data).to.deep.equal({ a: 1 });
    const taken = await system.cli(
      ...['channel', 'create', 'two', '--path', '/echo', '--service', 'desk.echo'],
    );
    expect(taken.code).not.to.equal(0);
    expect(taken.stderr).to.contain('/echo is the path of channel echo, of type websocket');
    expect((await system.cli('channel', 'edit', 'echo', '--disabled')).code).to.equal(0);
    expect((await client.closed).code).to.equal(4005);
  });

  it('tell their clients 1001 when the system ends', async () => {
    const client = await open('/desk');
    await client.login({ username: 'desk', secret: 'desk.secret' });
    const [closing] = await Promise.all([client.closed, system.stop()]);
    expect(closing).to.deep.equal({ code: 1001, reason: 'Server is shutting down' });
  });
});
