import { expect } from 'chai';
import { Fault } from '../../../runtime/core/fault.ts';
import { Registry } from '../../../runtime/service/registry.ts';
import { Service } from '../../../runtime/service/service.ts';
import type { ServiceClass } from '../../../runtime/service/service-class.ts';
import { ServiceVersion } from '../../../runtime/service/version.ts';
import type { WsxClients } from '../../../runtime/service/wsx.ts';
import { collectingLog } from '../../support/collecting-log.ts';
import { rejection } from '../../support/rejection.ts';
import { admit, Client, serving, stopAll, type World } from './fixture.ts';

class Who extends Service {
  handle(): unknown {
    const { pubClientId, clientId, clientName, attrs, channel, user } = this.wsx ?? {};
    return { pubClientId, clientId, clientName, attrs, channel, user };
  }
}

class Outer extends Service {
  handle(): Promise<unknown> {
    return this.invoke('who', {});
  }
}

class Ask extends Service<{ timeout?: string }> {
  async handle(): Promise<unknown> {
    const { timeout } = this.request.input;
    const options = timeout === undefined ? {} : { timeout };
    return { heard: await this.wsx?.invoke('a question', options) };
  }
}

class Tell extends Service {
  handle(): unknown {
    return { told: this.wsx?.broadcast({ news: 'all' }) };
  }
}

class Leave extends Service {
  handle(): void {
    this.wsx?.disconnect('Go away');
  }
}

class Desk extends Service<{ channel: string }> {
  async handle(): Promise<unknown> {
    const { channel } = this.request.input;
    const [client] = this.wsxClients.list(channel);
    const answer = await this.wsxClients.invoke(client?.pubClientId ?? '', 'from the desk');
    return { calledBy: this.wsx ?? null, answer };
  }
}

class Picky extends Service {
  static io = { input: ['user'] };

  handle(): unknown {
    return 'fine';
  }
}

const classes = {
  who: Who,
  outer: Outer,
  ask: Ask,
  tell: Tell,
  leave: Leave,
  desk: Desk,
  picky: Picky,
};

function registryOf(wsx?: WsxClients): Registry {
  const missing = () => {
    throw new Fault('not-found', 'not here');
  };
  const registry = new Registry({
    log: collectingLog(),
    outgoing: missing,
    kvdb: missing,
    invokeAsync: missing,
    publish: missing,
    ...(wsx ? { wsx } : {}),
  } as unknown as ConstructorParameters<typeof Registry>[0]);
  for (const [name, ServiceClassOf] of Object.entries(classes)) {
    const about = { name, file: name, path: name, version: 1, hash: 'h', dispose: () => {} };
    const version = new ServiceVersion({
      ...about,
      ServiceClass: ServiceClassOf as unknown as ServiceClass,
    });
    registry.replace(name, [version]);
  }
  return registry;
}

describe('Services and their WebSocket clients', () => {
  let world: World;
  let registry: Registry;

  beforeEach(async () => {
    const gate = { path: '/ws', gateway: true, allow: ['*'], security: 'partner' };
    world = await serving({
      channels: { gate, other: { path: '/other' } },
      service: (call) => registry.invoke(call),
    });
    registry = registryOf(world.sockets.clients);
    await admit(world, { partner: { username: 'ann', password: 'secret' } });
  });
  afterEach(stopAll);

  const login = () =>
    Client.loggedIn(world, '/ws', { username: 'ann', secret: 'secret', attrs: { desk: '7' } });

  it('see who called, also when another service stands between', async () => {
    const client = await login();
    for (const service of ['who', 'outer']) {
      expect((await client.invoke({ service })).data).to.deep.equal({
        pubClientId: world.sessions[0]?.id,
        clientId: 'c1',
        clientName: 'My client',
        attrs: { desk: '7' },
        channel: 'gate',
        user: 'partner',
      });
    }
  });

  it('ask the client, and fail as the client does', async () => {
    const client = await login();
    const call = client.send('invoke-service', {}, { service: 'ask' });
    const question = await client.next();
    expect(question.data).to.equal('a question');
    client.send(undefined, { in_reply_to: question.meta.id }, { response: 42 });
    const answer = await client.next();
    expect(answer.meta.in_reply_to).to.equal(call);
    expect(answer.data).to.deep.equal({ heard: 42 });

    client.send('invoke-service', {}, { service: 'ask', request: { timeout: '20ms' } });
    await client.next();
    expect((await client.next()).meta).to.include({
      status: 504,
      error_message: 'The WebSocket client did not answer in 20 ms',
    });
  });

  it('tell all clients of the channel, and disconnect one', async () => {
    const [one, two] = [await login(), await login()];
    one.send('invoke-service', {}, { service: 'tell' });
    expect((await two.next()).data).to.deep.equal({ news: 'all' });
    expect((await one.next()).data).to.deep.equal({ news: 'all' });
    expect((await one.next()).data).to.deep.equal({ told: 2 });
    two.send('invoke-service', {}, { service: 'leave' });
    expect(await two.closed).to.deep.equal({ code: 4005, reason: 'Go away' });
  });

  it('reach clients that did not call', async () => {
    const client = await Client.loggedIn(world, '/other');
    const call = { cid: 'c', service: 'desk', input: { channel: 'other' }, rawRequest: '' };
    const reply = registry.invoke(call);
    const question = await client.next();
    expect(question.data).to.equal('from the desk');
    client.send(undefined, { in_reply_to: question.meta.id }, { response: 'here' });
    expect((await reply).payload).to.deep.equal({ calledBy: null, answer: 'here' });
    const alone = await rejection(registryOf().invoke(call));
    expect(alone).to.include({ code: 'unavailable' });
  });

  it('say what their IO refuses as Zato does, and name no service that there is not', async () => {
    const client = await login();
    const refused = await client.invoke({ service: 'picky', request: {} });
    expect(refused.meta).to.include({ status: 400, error_message: 'I/O processing error' });
    const unknown = await client.invoke({ service: 'nobody' });
    expect(unknown.meta).to.include({ status: 404, error_message: 'No such service: nobody' });
  });
});
