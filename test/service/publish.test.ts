import { expect } from 'chai';
import { Fault, Model, Service } from '../../runtime/index.ts';
import type { Call } from '../../runtime/service/call.ts';
import { deliveredCall } from '../../runtime/service/delivered-call.ts';
import type { ServicePublication } from '../../runtime/service/publication.ts';
import { Registry } from '../../runtime/service/registry.ts';
import type { ServiceClass } from '../../runtime/service/service-class.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { rejection } from '../support/rejection.ts';

type Publish = Service['publish'];

/** A registry whose publications are kept, and a service `test.run` that runs a function with `publish`. */
function publisher(others: Record<string, ServiceClass> = {}) {
  const published: ServicePublication[] = [];
  const stored: unknown[][] = [];
  const registry = new Registry({
    log: collectingLog(),
    outgoing: () => {
      throw new Fault('not-found', 'none');
    },
    kvdb: () => {
      throw new Error('not here');
    },
    invokeAsync: async (...call) => {
      stored.push(call);
      return 'id-1';
    },
    publish: async (publication) => {
      published.push(publication);
      return { msgId: 'zpsm.1', queues: 2, duplicate: false };
    },
  });
  class Run extends Service<(publish: Publish, service: Service) => unknown> {
    handle(): unknown {
      const publish = this.publish.bind(this) as Publish;
      return this.request.input(publish, this as unknown as Service);
    }
  }
  for (const [name, ServiceClassOf] of Object.entries({ 'test.run': Run, ...others })) {
    const about = { name, file: name, path: name, version: 1, hash: 'h', dispose: () => {} };
    registry.replace(name, [new ServiceVersion({ ...about, ServiceClass: ServiceClassOf })]);
  }
  const run = async (
    work: (publish: Publish, service: Service) => unknown,
    more: Partial<Call> = {},
  ) => {
    const call = { cid: 'c1', service: 'test.run', input: work, rawRequest: undefined, ...more };
    return (await registry.invoke(call)).payload;
  };
  const refused = async (work: (publish: Publish) => unknown): Promise<Fault> => {
    const error = await rejection(run(work));
    if (!Fault.is(error)) throw error;
    expect(error.code).to.equal('bad-request');
    return error;
  };
  return { registry, run, refused, published, stored };
}

const text = (publication: ServicePublication | undefined) => String(publication?.data);

describe('this.publish', () => {
  it('answers with the message id; cid, correlation id and publisher are the call’s own', async () => {
    const { run, published } = publisher();

    const result = await run((publish) => publish('demo.1', { order_id: 12345 }));

    expect(result).to.deep.equal({ msgId: 'zpsm.1', queues: 2, duplicate: false });
    expect(published).to.deep.equal([
      {
        target: 'demo.1',
        targetIsService: false,
        data: '{"order_id":12345}',
        contentType: 'application/json',
        cid: 'c1',
        correlId: 'c1',
        publisher: 'test.run',
        hops: 0,
      },
    ]);
  });

  it('passes on all metadata', async () => {
    const { run, published } = publisher();

    await run((publish) =>
      publish('demo.1', 'text', {
        priority: 7,
        expiration: 3_600,
        cid: 'c9',
        correlId: 'k',
        inReplyTo: 'zpsm.0',
        extClientId: 'x',
        publisher: 'someone',
        pubTime: '2025-01-01T12:00:00+00:00',
        idempotencyKey: 'once',
      }),
    );

    expect(published[0]).to.deep.include({
      data: '"text"',
      priority: 7,
      expirationMs: 3_600_000,
      cid: 'c9',
      correlId: 'k',
      inReplyTo: 'zpsm.0',
      extClientId: 'x',
      publisher: 'someone',
      pubTime: '2025-01-01T12:00:00+00:00',
      idempotencyKey: 'once',
    });
  });

  it('takes the cid that is given for the correlation id too; a Date as the time; "" as nothing', async () => {
    const { run, published } = publisher();
    const pubTime = new Date(0);
    await run((publish) =>
      publish('t', 1, { cid: 'c9', pubTime, inReplyTo: '', priority: undefined }),
    );
    expect(published[0]).to.include({ correlId: 'c9', pubTime: '1970-01-01T00:00:00.000Z' });
    expect(published[0]).to.not.have.any.keys('inReplyTo', 'priority');
  });

  describe('inline', () => {
    it('takes keys that are not metadata as the payload (the seed’s rule)', async () => {
      const { run, published } = publisher();

      await run((publish) => publish({ topic: 'demo.1', order_id: 123, status: 'pending' }));
      await run((publish) =>
        publish({ topic: 'demo.1', order_id: 123, priority: 7, expiration: 3_600 }),
      );
      await run((publish) => publish('demo.1', undefined, { order_id: 123, priority: 7 }));

      expect(published.map(text)).to.deep.equal([
        '{"order_id":123,"status":"pending"}',
        '{"order_id":123}',
        '{"order_id":123}',
      ]);
      expect(published.map(({ priority }) => priority)).to.deep.equal([undefined, 7, 7]);
      expect(published[1]).to.include({ target: 'demo.1', expirationMs: 3_600_000 });
    });

    it('takes publisher and correlId as metadata, as with data', async () => {
      const { run, published } = publisher();
      await run((publish) => publish({ topic: 't', a: 1, publisher: 'p', correlId: 'k' }));
      expect(published[0]).to.include({ data: '{"a":1}', publisher: 'p', correlId: 'k' });
    });

    it('knows data by its name, and then takes nothing but metadata beside it', async () => {
      const { run, refused, published } = publisher();
      await run((publish) => publish({ topic: 't', data: { priority: 'high' }, priority: 3 }));
      expect(published[0]).to.include({ data: '{"priority":"high"}', priority: 3 });
      const error = await refused((publish) => publish({ topic: 't', data: 0, order_id: 1 }));
      expect(error.message).to.match(/^Publishing to t: "order_id" cannot go with data; /);
    });

    it('leaves data alone that has keys of metadata', async () => {
      const { run, published } = publisher();
      await run((publish) => publish('t', { priority: 7, cid: 'x' }));
      expect(text(published[0])).to.equal('{"priority":7,"cid":"x"}');
      expect(published[0]).to.include({ cid: 'c1' }).and.not.have.property('priority');
    });

    it('refuses unknown metadata beside data, naming all of it', async () => {
      const { refused } = publisher();
      const bag = { expires: 1, prio: 2, priority: 3 } as object;
      const error = await refused((publish) => publish('t', '', bag));
      expect(error.message).to.equal(
        'Publishing to t: "expires", "prio" cannot go with data; metadata is priority, expiration, cid, correlId, inReplyTo, extClientId, publisher, pubTime, idempotencyKey',
      );
    });

    it('publishes "" where no data is given, and refuses data that is undefined', async () => {
      const { run, refused, published } = publisher();
      await run((publish) => publish('t'));
      await run((publish) => publish({ topic: 't', priority: 1 }));
      expect(published.map(text)).to.deep.equal(['""', '""']);
      for (const work of [
        (publish: Publish) => publish('t', undefined),
        (publish: Publish) => publish('t', undefined, { priority: 1 }),
        (publish: Publish) => publish({ topic: 't', data: undefined }),
      ]) {
        expect((await refused(work)).message).to.equal('Publishing to t: data is undefined');
      }
    });
  });

  describe('data', () => {
    const kept: [string, unknown, string][] = [
      ['text, also if it looks like JSON', '{"a":1}', '"{\\"a\\":1}"'],
      ['empty text', '', '""'],
      ['0', 0, '0'],
      ['false', false, 'false'],
      ['null', null, 'null'],
      ['a list', [1, 'two', null], '[1,"two",null]'],
      ['a Date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
      ['a key that is undefined, left out', { a: 1, b: undefined }, '{"a":1}'],
      ['a lone surrogate', '\ud800', '"\\ud800"'],
    ];
    for (const [what, value, json] of kept) {
      it(`is JSON: ${what}`, async () => {
        const { run, published } = publisher();
        await run((publish) => publish('t', value));
        expect(published[0]).to.include({ data: json, contentType: 'application/json' });
      });
    }

    it('is bytes where bytes are given, copied before they can change', async () => {
      const { run, published } = publisher();
      const bytes = new Uint8Array([1, 0, 255]);
      await run((publish) => {
        const publishing = publish('t', bytes);
        bytes[0] = 9;
        return publishing;
      });
      expect(published[0]).to.include({ contentType: 'application/octet-stream' });
      expect(published[0]?.data).to.deep.equal(Buffer.from([1, 0, 255]));
    });

    const self: Record<string, unknown> = {};
    self['inner'] = [self];
    const refusals: [unknown, string][] = [
      [() => 1, 'data is a function, which JSON does not know'],
      [
        { lines: [{ amount: 1n }] },
        'data.lines[0].amount is a BigInt, which JSON does not know: give it as text',
      ],
      [{ a: Number.NaN }, 'data.a is NaN, which JSON does not know'],
      [[Number.POSITIVE_INFINITY], 'data[0] is Infinity, which JSON does not know'],
      [[1, undefined], 'data[1] is undefined'],
      [{ a: Symbol('s') }, 'data.a is a symbol, which JSON does not know'],
      [self, 'data.inner[0] holds itself'],
      [Promise.resolve(1), 'data is a Promise: await it'],
      [{ a: new Map([[1, 2]]) }, 'data.a is a Map, which JSON does not know'],
      [{ a: new Set() }, 'data.a is a Set, which JSON does not know'],
      [new Error('x'), 'data is a Error, which JSON does not know'],
      [{ a: new Date('x') }, 'data.a is an invalid Date'],
      [
        { a: Buffer.from('x') },
        'data.a is bytes inside JSON: publish the bytes alone, or as Base64 text',
      ],
      [JSON.parse('{"__proto__":1}'), 'data has a key "__proto__", which no reader takes'],
    ];
    for (const [value, says] of refusals) {
      it(`is refused: ${says.slice(0, 50)}`, async () => {
        const { refused, published } = publisher();
        const error = await refused((publish) => publish('t', value));
        expect(error.message).to.equal(`Publishing to t: ${says}`);
        expect(published).to.deep.equal([]);
      });
    }

    it('may be 100 levels deep, and not 101', async () => {
      const { run, refused, published } = publisher();
      const nested = (levels: number): unknown =>
        JSON.parse('['.repeat(levels) + ']'.repeat(levels));
      await run((publish) => publish('t', nested(100)));
      expect(text(published[0])).to.have.length(200);
      const error = await refused((publish) => publish('t', nested(101)));
      expect(error.message).to.contain('is more than 100 levels deep');
    });

    it('may hold the same object twice side by side', async () => {
      const { run, published } = publisher();
      const line = { a: 1 };
      await run((publish) => publish('t', [line, line]));
      expect(text(published[0])).to.equal('[{"a":1},{"a":1}]');
    });
  });

  describe('metadata', () => {
    for (const priority of [0, 9]) {
      it(`takes priority ${priority}`, async () => {
        const { run, published } = publisher();
        await run((publish) => publish('t', 1, { priority }));
        expect(published[0]).to.include({ priority });
      });
    }

    for (const [expiration, expirationMs] of [
      [-5, 1_000],
      [0, 1_000],
      [0.5, 1_000],
      [1, 1_000],
      [1.5, 1_500],
      [31_536_000, 31_536_000_000],
    ]) {
      it(`takes an expiration of ${expiration} s as ${expirationMs} ms`, async () => {
        const { run, published } = publisher();
        await run((publish) => publish('t', 1, { expiration }));
        expect(published[0]).to.include({ expirationMs });
      });
    }

    const wrong: [object, string][] = [
      ...[-1, 10, 1.5, '7', null].map((priority): [object, string] => [
        { priority },
        'priority must be a whole number from 0 to 9',
      ]),
      ...['60', Number.NaN, Number.POSITIVE_INFINITY, null].map((expiration): [object, string] => [
        { expiration },
        'expiration must be a number of seconds',
      ]),
      [{ cid: 'no spaces' }, 'cid must be 1-128 letters, digits, ".", "_" or "-"'],
      [{ cid: 'x'.repeat(129) }, 'cid must be 1-128'],
      [{ correlId: 1 }, 'correlId must be text'],
      [{ inReplyTo: {} }, 'inReplyTo must be text'],
      [{ extClientId: null }, 'extClientId must be text'],
      [{ publisher: true }, 'publisher must be text'],
      [{ idempotencyKey: 7 }, 'idempotencyKey must be text'],
      ...['soon', '2025-13-01', new Date('x'), 5].map((pubTime): [object, string] => [
        { pubTime },
        'pubTime must be a Date or an ISO 8601 time',
      ]),
    ];
    for (const [meta, says] of wrong) {
      it(`refuses ${Object.entries(meta).map(([key, value]) => `${key} ${String(value).slice(0, 20)}`)}`, async () => {
        const { refused, published } = publisher();
        const error = await refused((publish) => publish('t', 1, meta));
        expect(error.message).to.contain(`Publishing to t: ${says}`);
        expect(published).to.deep.equal([]);
      });
    }

    for (const pubTime of [
      '2025-01-01',
      '2025-01-01T12:00',
      '2025-01-01 12:00:00.123456',
      '2025-01-01T12:00:00Z',
    ]) {
      it(`takes the time ${pubTime} as it is`, async () => {
        const { run, published } = publisher();
        await run((publish) => publish('t', 1, { pubTime }));
        expect(published[0]).to.include({ pubTime });
      });
    }
  });

  it('refuses a target that is none', async () => {
    const { refused } = publisher();
    const targets: unknown[] = ['', 7, null, class Plain {}, { data: 1 }, [1]];
    for (const target of targets) {
      const error = await refused((publish) => publish(target as string, 1));
      expect(error.message).to.equal('publish wants a topic, the name of a service or its class');
    }
  });

  it('takes a service’s class for its deployed name', async () => {
    class Echo extends Service {
      handle(): void {}
    }
    const { run, published } = publisher({ 'my.echo': Echo });
    await run((publish) => publish(Echo, 1));
    expect(published[0]).to.include({ target: 'my.echo', targetIsService: true });
  });

  it('counts the messages that led to one, through invoke and invokeAsync too (F67)', async () => {
    class Inner extends Service {
      async handle(): Promise<void> {
        await this.publish('t', 'inner');
        await this.invokeAsync('later', {});
      }
    }
    const { run, published, stored } = publisher({ inner: Inner });
    const work = async (publish: Publish, service: Service) => {
      await publish('t', 'outer');
      await service.invoke('inner');
    };

    await run(work);
    await run(work, { hops: 0 });
    await run(work, { hops: 7 });

    expect(published.map(({ hops }) => hops)).to.deep.equal([0, 0, 1, 1, 8, 8]);
    expect(stored.map((call) => call[3])).to.deep.equal([undefined, 0, 7]);
  });
});

describe('a delivered message', () => {
  class OrderEvent extends Model {
    id = '';
  }

  const delivery = (data: string | Buffer, more: object = {}) => ({
    subKey: 'sk1',
    deliveries: 1,
    message: {
      msgId: 'zpsm.1',
      topic: 'demo.1',
      priority: 5,
      cid: 'c7',
      contentType: 'application/json',
      hops: 2,
      receivedAt: 1_000,
      expiresAt: 2_000,
      data: Buffer.from(data),
      ...more,
    },
  });
  const revive = (dataClass: string, value: unknown) => {
    expect(dataClass).to.equal('order-events.OrderEvent');
    return OrderEvent.fromDict(value);
  };

  it('is a call with its cid, its data as input and raw request, and what it is as message', () => {
    const given = delivery('{"a":1}', {
      publisher: 'p',
      correlId: 'k',
      inReplyTo: 'r',
      extClientId: 'x',
      pubTime: '2025-01-01',
    });
    const call = deliveredCall('a.b', { ...given, deliveries: 3 }, { revive, timeoutMs: 5 });
    expect(call).to.deep.include({ cid: 'c7', service: 'a.b', hops: 2, timeoutMs: 5 });
    expect(call.input).to.deep.equal({ a: 1 });
    expect(call.rawRequest).to.equal(call.input);
    expect(call.message).to.deep.equal({
      msgId: 'zpsm.1',
      topic: 'demo.1',
      priority: 5,
      cid: 'c7',
      publisher: 'p',
      correlId: 'k',
      inReplyTo: 'r',
      extClientId: 'x',
      pubTime: '2025-01-01',
      receivedAt: 1_000,
      expiresAt: 2_000,
      deliveryCount: 3,
      redelivered: true,
      subKey: 'sk1',
      contentType: 'application/json',
      data: Buffer.from('{"a":1}'),
    });
    expect(deliveredCall('a.b', given, { revive }).message).to.include({ redelivered: false });
  });

  it('gives text for JSON text, a Model for its class, bytes for bytes, text for text', () => {
    const input = (...of: Parameters<typeof delivery>) =>
      deliveredCall('a.b', delivery(...of), { revive }).input;
    expect(input('"{\\"a\\":1}"')).to.equal('{"a":1}');
    expect(input('5')).to.equal(5);
    const event = input('{"id":"1"}', { dataClass: 'order-events.OrderEvent' });
    expect(event).to.be.instanceOf(OrderEvent).and.deep.include({ id: '1' });
    const bytes = Buffer.from([0, 255]);
    expect(input(bytes, { contentType: 'application/octet-stream' })).to.deep.equal(bytes);
    expect(input('hi', { contentType: 'text/plain; charset=utf-8' })).to.equal('hi');
    expect(input('[1]', { contentType: 'application/vnd.x+json' })).to.deep.equal([1]);
  });

  it('fails, naming the message, where it is not the JSON it says it is', () => {
    expect(() => deliveredCall('a.b', delivery('{'), { revive })).to.throw(
      Fault,
      'Message zpsm.1 is not valid JSON',
    );
  });

  it('reaches the service as this.request, checked by its IO; a Model stays a Model', async () => {
    class Sub extends Service<OrderEvent> {
      static readonly io = { input: OrderEvent };
      handle(): unknown {
        const { input, rawRequest, message, http } = this.request;
        return [input, rawRequest, message?.topic, http, this.cid];
      }
    }
    const { registry } = publisher({ sub: Sub });
    const run = async (...of: Parameters<typeof delivery>) =>
      (await registry.invoke(deliveredCall('sub', delivery(...of), { revive }))).payload as [
        OrderEvent,
        unknown,
        ...unknown[],
      ];

    const [input, raw, ...rest] = await run('{"id":"1"}', { dataClass: 'order-events.OrderEvent' });
    expect(input).to.be.instanceOf(OrderEvent).and.equal(raw);
    expect(rest).to.deep.equal(['demo.1', undefined, 'c7']);
    const [made, plain] = await run('{"id":"2","other":1}');
    expect(made).to.be.instanceOf(OrderEvent).and.deep.include({ id: '2' });
    expect(plain).to.deep.equal({ id: '2', other: 1 });
    const error = await rejection(run('{"id":2}'));
    expect(error.message).to.equal('Service sub: OrderEvent.id must be a string, not 2');
  });
});
