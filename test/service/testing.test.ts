import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { Model } from '../../runtime/service/model.ts';
import { Service } from '../../runtime/service/service.ts';
import { testService } from '../../runtime/testing.ts';
import { rejection } from '../support/rejection.ts';

class Notify extends Service<{ user: string; loud?: boolean }> {
  static readonly io = { input: ['user', '-loud'] };

  async handle(): Promise<unknown> {
    const { user, loud } = this.request.input;
    this.logger.info('notifying', { user });
    if (loud) await this.invokeAsync('siren', { user });
    const place = await this.invoke<string>('place.of', { user });
    const crm = this.outgoing.plainHttp.get('crm').conn;
    const reply = await crm.post(this.cid, { user, place }, { params: { id: 7 } });
    return { status: reply.status, ok: reply.ok, answer: reply.json(), text: reply.text };
  }
}

const crm = { status: 201, json: { id: 'r1' } };

describe('hence/testing', () => {
  it('runs a service as the runtime does, and keeps what it did', async () => {
    const service = testService(Notify, {
      services: { 'place.of': () => 'home' },
      outgoing: { crm },
    });

    const answer = await service.invoke({ user: 'sean', loud: true, other: 'filtered' });

    expect(answer).to.deep.equal({
      status: 201,
      ok: true,
      answer: { id: 'r1' },
      text: '{"id":"r1"}',
    });
    expect(service.invoked).to.deep.equal([
      { service: 'siren', input: { user: 'sean' }, async: true },
      { service: 'place.of', input: { user: 'sean' }, async: false },
    ]);
    expect(service.sent).to.have.length(1);
    expect(service.sent[0]).to.deep.include({
      connection: 'crm',
      method: 'POST',
      data: { user: 'sean', place: 'home' },
      request: { params: { id: 7 } },
    });
    expect(service.logs[0]).to.deep.include({ level: 'info', message: 'notifying', user: 'sean' });
  });

  it('throws what the runtime would answer with', async () => {
    const service = testService(Notify, { services: { 'place.of': () => 'home' } });
    expect(await rejection(service.invoke())).to.include({ code: 'bad-request' });
    const unknown = await rejection(service.invoke({ user: 'sean' }));
    expect(unknown).to.include({ code: 'not-found' });
    expect(await rejection(testService(Notify).invoke({ user: 'sean' }))).to.include({
      message: 'No such service: place.of',
    });
  });

  it('lets a connection fail, answer by the request, or answer what is not JSON', async () => {
    const services = { 'place.of': () => 'home' };
    const down = new Fault('unavailable', 'Outgoing crm: refused');
    const input = { user: 'sean' };
    const failing = testService(Notify, { services, outgoing: { crm: down } });
    expect(await rejection(failing.invoke(input))).to.equal(down);
    const echoing = testService(Notify, {
      services,
      outgoing: { crm: ({ method }) => ({ json: method }) },
    });
    expect(await echoing.invoke(input)).to.include({ status: 200, answer: 'POST' });
    const html = testService(Notify, { services, outgoing: { crm: { text: '<html>' } } });
    expect((await rejection(html.invoke(input))).message).to.contain('the reply is not JSON');
  });

  it('calls with the HTTP side of a request, real services and a kvdb of the test', async () => {
    class Greeter extends Service<{ name: string }> {
      handle(): string {
        return `hello ${this.request.input.name}`;
      }
    }
    class Front extends Service {
      async handlePut(): Promise<void> {
        this.response.statusCode = 202;
        const name = await this.kvdb.conn.get('name');
        this.response.payload = await this.invoke<string>('greeter', { name });
        this.response.headers['x-path'] = this.request.http?.path ?? '';
      }
    }
    const service = testService(Front, {
      services: { greeter: Greeter },
      kvdb: { get: async () => 'sean' },
    });
    const reply = await service.call({ http: { method: 'PUT', path: '/greet' } });
    expect(reply).to.deep.include({ statusCode: 202, payload: 'hello sean' });
    expect(reply.headers).to.deep.equal({ 'x-path': '/greet' });
    expect(await rejection(testService(Front).call({ http: { method: 'PUT' } }))).to.be.an('error');
  });

  it('pings, and sends by every method', async () => {
    const methods: string[] = [];
    class All extends Service {
      async handle(): Promise<boolean> {
        const { conn } = this.outgoing.plainHttp.get('crm');
        await conn.send(this.cid, 'x');
        await conn.get(this.cid);
        await conn.put(this.cid);
        await conn.patch(this.cid);
        await conn.delete(this.cid);
        return (await conn.ping(this.cid)).ok;
      }
    }
    const service = testService(All, {
      outgoing: {
        crm: ({ method }) => {
          methods.push(method);
          return { status: 204 };
        },
      },
    });
    expect(await service.invoke()).to.equal(true);
    expect(methods).to.deep.equal(['SEND', 'GET', 'PUT', 'PATCH', 'DELETE', 'PING']);
  });

  describe('messages', () => {
    class Event extends Model {
      id = '';
    }
    class Relay extends Service {
      async handle(): Promise<unknown> {
        const { message, rawRequest } = this.request;
        const given = { priority: 7, inReplyTo: message?.msgId };
        const { msgId, queues } = await this.publish('relayed', rawRequest, given);
        return { msgId, queues, redelivered: message?.redelivered };
      }
    }

    it('are delivered as the runtime does, and kept when they are published', async () => {
      const service = testService(Relay);
      const event = Event.fromDict({ id: 'e1' });

      const message = { msgId: 'zpsm.7', deliveryCount: 2 };
      const { payload } = await service.deliver(event, message);

      expect(payload).to.deep.equal({ msgId: 'zpsm.test-1', queues: 1, redelivered: true });
      const [published] = service.published;
      expect(published).to.deep.include({ topic: 'relayed', priority: 7, inReplyTo: 'zpsm.7' });
      expect(published).to.include({ dataClass: 'Event', hops: 1, publisher: 'test.relay' });
      expect(published?.data).to.be.instanceOf(Event).and.not.equal(event);
      await service.deliver(Buffer.from([1]));
      expect(service.published[1]?.data).to.deep.equal(Buffer.from([1]));
    });

    it('may have another answer, or fail', async () => {
      const service = testService(Relay, {
        publish: ({ data }) => {
          if (data === 'bad') throw new Fault('too-many', 'The queue of x is full');
          return { queues: 0 };
        },
      });
      expect((await service.deliver('good')).payload).to.include({ queues: 0 });
      expect(await rejection(service.deliver('bad'))).to.include({ code: 'too-many' });
      expect(service.published).to.have.length(1);
    });

    it('that could not be published in reality cannot be here', async () => {
      const service = testService(Relay);
      expect(await rejection(service.deliver({ at: 1n }))).to.include({ code: 'bad-request' });
      expect(await rejection(service.call({ rawRequest: new Map() }))).to.include({
        code: 'bad-request',
      });
    });
  });
});
