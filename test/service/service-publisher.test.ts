import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Fault, type PublishResult, Service } from '../../runtime/index.ts';
import { Broker } from '../../runtime/pubsub/broker.ts';
import { RouteFeed } from '../../runtime/pubsub/route-feed.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { deliveredCall } from '../../runtime/service/delivered-call.ts';
import { Registry } from '../../runtime/service/registry.ts';
import type { ServiceClass } from '../../runtime/service/service-class.ts';
import { ServicePublisher } from '../../runtime/service/service-publisher.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';

/** Publishes what it is given, to whom it is told. */
class Run extends Service<{ to: string | (new () => Service); data: unknown; meta?: object }> {
  handle(): Promise<PublishResult> {
    const { to, data, meta } = this.request.input;
    return this.publish(to as string, data, meta);
  }
}

class Idle extends Service {
  handle(): void {}
}

describe('publishing from services', () => {
  let server: TestRedis;
  let redis: Redis;
  let brokers: Broker[] = [];

  /** A worker: its broker, registry and the publisher between them. */
  async function worker(services: Record<string, ServiceClass> = {}) {
    const log = collectingLog();
    const source = new RouteFeed({ revision: () => 0, refresh: async () => {} });
    const subscriber = () => connectRedis({ path: server.path }, 'subscriber', () => {});
    const broker = new Broker({ redis, subscriber, source, log });
    brokers.push(broker);
    await broker.start();
    const publisher = new ServicePublisher({
      broker,
      isService: (name) => registry.get(name) !== undefined,
      isTopic: (name) => name === 'defined',
      topic: (name) => {
        if (name.includes('#')) throw new Fault('bad-request', 'Topic name cannot contain "#"');
        return { topic: name.toLowerCase(), ...(name === 'urgent' ? { priority: 8 } : {}) };
      },
    });
    const none = () => {
      throw new Error('not here');
    };
    const registry: Registry = new Registry({
      log,
      outgoing: none,
      kvdb: none,
      invokeAsync: none,
      publish: (publication) => publisher.publish(publication),
    });
    const deploy = (name: string, ServiceClassOf: ServiceClass) => {
      const about = { name, file: name, path: name, version: 1, hash: 'h', dispose: () => {} };
      registry.replace(name, [new ServiceVersion({ ...about, ServiceClass: ServiceClassOf })]);
    };
    for (const [name, ServiceClassOf] of Object.entries({ run: Run, ...services })) {
      deploy(name, ServiceClassOf);
    }
    const publish = async (to: unknown, data: unknown, meta?: object) => {
      const input = { to, data, meta };
      const call = { cid: 'c1', service: 'run', input, rawRequest: input };
      return (await registry.invoke(call)).payload as PublishResult;
    };
    return { broker, registry, publish, deploy };
  }

  before(async () => {
    server = await startRedis();
    redis = connectRedis({ path: server.path }, 'command', () => {});
  });

  afterEach(async () => {
    for (const broker of brokers.splice(0)) broker.close();
    brokers = [];
    await redis.flushall();
  });

  after(async () => {
    redis.disconnect();
    await server.stop();
  });

  const topicsOf = async (broker: Broker, subKey: string) =>
    (await broker.take(subKey, { max: 100 })).map(({ message }) => message);

  it('takes a defined topic before a service of the same name', async () => {
    class Defined extends Service {
      handle() {}
    }
    const { broker, publish } = await worker({ defined: Defined });
    await broker.subscribe({ subKey: 'sk1', topics: ['defined'], facts: {}, push: false });
    await publish('defined', 1);
    expect(await topicsOf(broker, 'sk1')).to.have.length(1);
    expect(broker.subscriptions()).to.have.length(1);
    await publish(Defined, 2);
    expect(await topicsOf(broker, 'zato.service.defined')).to.have.length(1);
  });

  it('stores a message for each subscriber of the topic, in lower case', async () => {
    const { broker, publish } = await worker();
    for (const subKey of ['sk1', 'sk2']) {
      await broker.subscribe({ subKey, topics: ['demo.1'], facts: {}, push: false });
    }

    const result = await publish('DEMO.1', { order_id: 12345 }, { priority: 7, expiration: 60 });

    expect(result).to.include({ queues: 2, duplicate: false });
    expect(result.msgId).to.match(/^zpsm\.\d{8}-\d{6}-\d{4}-[0-9a-f]{16}f$/);
    for (const subKey of ['sk1', 'sk2']) {
      const [message] = await topicsOf(broker, subKey);
      expect(message).to.deep.include({
        msgId: result.msgId,
        topic: 'demo.1',
        priority: 7,
        expirationMs: 60_000,
        publisher: 'run',
        cid: 'c1',
        data: Buffer.from('{"order_id":12345}'),
      });
    }
  });

  it('uses the topic’s own defaults, and what the service says before them', async () => {
    const { broker, publish } = await worker();
    await broker.subscribe({ subKey: 'sk1', topics: ['urgent'], facts: {}, push: false });
    await publish('urgent', 1);
    await publish('urgent', 2, { priority: 9 });
    const messages = await topicsOf(broker, 'sk1');
    expect(messages.map(({ priority }) => priority)).to.deep.equal([9, 8]);
  });

  it('lets the topic’s name be checked', async () => {
    const { publish } = await worker();
    expect(await rejection(publish('a#b', 1))).to.include({ code: 'bad-request' });
  });

  it('gives a deployed service its own queue at the first message, by name or class (Zato 4.x)', async () => {
    class Notify extends Idle {}
    const { broker, publish } = await worker({ 'order.notify': Notify });

    const results = await Promise.all([
      publish('order.notify', 1),
      publish('order.notify', 2),
      publish(Notify, 3),
    ]);

    expect(results.map(({ queues }) => queues)).to.deep.equal([1, 1, 1]);
    expect(broker.subscriptions()).to.deep.equal([
      {
        subKey: 'zato.service.order.notify',
        topics: ['zato.s.to.order.notify'],
        facts: { service: 'order.notify' },
        push: true,
      },
    ]);
    const messages = await topicsOf(broker, 'zato.service.order.notify');
    expect(messages.map(({ data }) => String(data)).sort()).to.deep.equal(['1', '2', '3']);
    expect(messages[0]).to.include({
      topic: 'zato.s.to.order.notify',
      contentType: 'application/json',
    });
  });

  it('keeps a service’s messages apart from those of a topic of the same name', async () => {
    const { broker, publish } = await worker({ 'order.notify': Idle });
    await broker.subscribe({ subKey: 'sk1', topics: ['order.notify'], facts: {}, push: false });
    await publish('order.notify', 1);
    expect(await topicsOf(broker, 'sk1')).to.deep.equal([]);
  });

  it('still finds a service with a queue that another worker has deployed, or that is gone for a moment', async () => {
    const one = await worker({ 'order.notify': Idle });
    await one.publish('order.notify', 1);
    const other = await worker();
    one.registry.replace('order.notify', []);

    expect(await other.publish('order.notify', 2)).to.include({ queues: 1 });
    expect(await one.publish('order.notify', 3)).to.include({ queues: 1 });
    expect(await topicsOf(one.broker, 'zato.service.order.notify')).to.have.length(3);
  });

  it('makes the queue of a service again that was taken away behind its back', async () => {
    const one = await worker({ 'order.notify': Idle });
    await one.publish('order.notify', 1);
    const other = await worker();
    await other.broker.unsubscribe('zato.service.order.notify');
    expect(await one.publish('order.notify', 2)).to.include({ queues: 1 });
    expect(await topicsOf(one.broker, 'zato.service.order.notify')).to.have.length(1);
  });

  it('refuses a class that is not deployed, rather than to take it for a topic', async () => {
    class Nobody extends Idle {}
    const { publish } = await worker();
    const error = await rejection(publish(Nobody, 1));
    expect(error).to.include({ code: 'not-found', message: 'No such service: Nobody' });
  });

  it('tells a repeated publication by its idempotency key (F76), and other data under it (F77)', async () => {
    const { broker, publish } = await worker();
    await broker.subscribe({ subKey: 'sk1', topics: ['t'], facts: {}, push: false });
    const idempotencyKey = 'order-7';
    const results = await Promise.all(
      Array.from({ length: 10 }, () => publish('t', { a: 1 }, { idempotencyKey })),
    );
    expect(new Set(results.map(({ msgId }) => msgId))).to.have.property('size', 1);
    expect(results.filter(({ duplicate }) => !duplicate)).to.have.length(1);
    expect(await topicsOf(broker, 'sk1')).to.have.length(1);
    const other = await rejection(publish('t', { a: 2 }, { idempotencyKey }));
    expect(other).to.include({ code: 'conflict' });
  });

  it('ends a service that publishes to its own topic at 16 messages in a row (F67)', async () => {
    class Loop extends Service {
      async handle(): Promise<void> {
        await this.publish('loop', { round: 1 });
      }
    }
    const { broker, registry } = await worker({ loop: Loop });
    const subKey = 'zato.service.loop';
    await registry.invoke({ cid: 'c1', service: 'loop', input: {}, rawRequest: {} });
    let handled = 0;
    let failure: unknown;
    for (let left = 100; left > 0 && failure === undefined; left--) {
      const [delivery] = await broker.take(subKey, { max: 1 });
      if (!delivery) break;
      const call = deliveredCall('loop', delivery, { revive: (_, value) => value });
      handled++;
      failure = await registry.invoke(call).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      await broker.ack(subKey, [delivery]);
    }
    expect(handled).to.equal(17);
    expect(failure).to.include({ code: 'bad-request' });
    expect(String(failure)).to.contain('is it a loop?');
  });
});
