import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { JourneyView, MessageView } from '../../runtime/admin/message-api.ts';
import { basicAuth, PubSubClient } from '../support/pubsub-client.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'shop.ts': `import { Fault, Service } from 'hence';
export class Announce extends Service {
  async handle() {
    const { topic, ...data } = this.request.input as { topic: string };
    return await this.publish(topic, data);
  }
}
export class Note extends Service {
  async handle() {
    const { rawRequest: data, message } = this.request;
    await this.kvdb.conn.rpush('noted', JSON.stringify({ ...message, data }));
  }
}
export class Relay extends Service {
  async handle() {
    if (this.request.message?.deliveryCount === 1) throw new Fault('unavailable', 'not yet');
    const reply = await this.outgoing.plainHttp.get('carrier').conn.post(this.cid, this.request.input);
    if (!reply.ok) throw new Fault('unavailable', 'the carrier answered ' + reply.status);
  }
}
`,
};

const yaml = `channels:
  announce: { path: /announce, service: shop.announce }
security:
  reader: { type: basic, username: reader, password: reader-password }
  desk: { type: basic, username: desk, password: desk-password }
  hook: { type: basic, username: hook, password: hook-password }
topics:
  orders.new: {}
  orders.relayed: {}
permissions:
  reader: { security: reader, publish: ["orders.*"], subscribe: [orders.new] }
  desk: { security: desk, subscribe: [orders.new] }
subscriptions:
  reader: { topics: [orders.new], security: reader }
  desk: { topics: ["orders.*"], security: desk }
  note: { topics: [orders.new], service: shop.note }
  relay: { topics: [orders.relayed], service: shop.relay, retry: [50ms] }
`;

interface Pushed {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Way {
  readonly by: string;
  readonly publisher: string;
  /** Publishes it to orders.new and gives the message id. */
  readonly publish: (data: string) => Promise<string | undefined>;
  /** As JSON text; big integers pass where no program reads them in between. */
  readonly data: string;
}

describe('A message', () => {
  let system: System;
  let reader: PubSubClient;
  let partner: Server;
  let partnerUrl: string;
  const pushed: Pushed[] = [];
  /** What the partner answers next; then 200. */
  const answers: { readonly status: number; readonly headers?: Record<string, string> }[] = [];

  before(async () => {
    partner = createServer((request, response) => {
      let body = '';
      request.on('data', (bytes) => {
        body += String(bytes);
      });
      request.on('end', () => {
        pushed.push({ url: request.url ?? '', headers: request.headers, body });
        const { status, headers } = answers.shift() ?? { status: 200 };
        response.writeHead(status, headers).end();
      });
    });
    partner.listen(0, '127.0.0.1');
    await once(partner, 'listening');
    partnerUrl = `http://127.0.0.1:${(partner.address() as AddressInfo).port}`;
    system = await startSystem({ services, yaml, args: ['--workers', '2'] });
    reader = new PubSubClient(() => system.url, 'reader', 'reader-password');
    const auth = { type: 'basic', username: 'hence', password: 'sent-out' };
    await system.define('outgoing', { name: 'hook', url: partnerUrl, path: '/hook', auth });
    await system.define('outgoing', { name: 'carrier', url: partnerUrl, path: '/carrier' });
    await system.define('subscription', {
      name: 'hook',
      topics: ['orders.new'],
      outgoing: 'hook',
      retry: ['50ms'],
    });
  });
  after(async () => {
    await system?.stop();
    partner?.closeAllConnections();
    partner?.close();
  });

  const noted = async () => {
    const reply = await system.admin('POST', '/api/kvdb', {
      command: ['LRANGE', 'noted', '0', '-1'],
    });
    return reply.json<{ result: string[] }>().result.map(
      (text) =>
        JSON.parse(text) as {
          readonly msgId: string;
          readonly data: unknown;
          readonly publisher: string;
          readonly deliveryCount: number;
        },
    );
  };
  const announce = async (topic: string) => {
    const reply = await system.get('/announce', {
      method: 'POST',
      body: JSON.stringify({ topic, order_id: 7 }),
    });
    const { msgId } = (await reply.json()) as { msgId: string };
    return { msgId, cid: String(reply.headers.get('x-hence-cid')) };
  };
  const why = async (id: string) => {
    const { code, stdout } = await system.cli('why', id, '-o', 'json');
    return code === 0 ? (JSON.parse(stdout) as JourneyView) : undefined;
  };

  const ways: readonly Way[] = [
    {
      by: 'REST',
      publisher: 'reader',
      data: '{"order_id":12345678901234567890,"from":"REST"}',
      publish: async (data) => {
        const reply = await fetch(`${system.url}/pubsub/topic/orders.new`, {
          method: 'POST',
          headers: { authorization: basicAuth('reader', 'reader-password') },
          body: `{"data":${data}}`,
        });
        return ((await reply.json()) as { msg_id?: string }).msg_id;
      },
    },
    {
      by: 'a service',
      publisher: 'shop.announce',
      data: '{"order_id":7}',
      publish: async () => (await announce('orders.new')).msgId,
    },
    {
      by: 'the command line',
      publisher: 'operator',
      data: '{"order_id":12345678901234567890,"from":"CLI"}',
      publish: async (data) => {
        const { stdout } = await system.cli(
          'message',
          'publish',
          'orders.new',
          '-d',
          data,
          '-q',
          '-o',
          'json',
        );
        return (JSON.parse(stdout) as { msgId: string }).msgId;
      },
    },
  ];

  for (const { by, publisher, data, publish } of ways) {
    it(`published by ${by} is read over REST, by a service, by an HTTP endpoint and on the command line`, async () => {
      const msgId = await publish(data);
      const parsed: unknown = JSON.parse(data);

      const got = await until(async () => {
        const { messages } = (await reader.get()).body;
        return messages.length > 0 ? messages : undefined;
      });
      expect(got.map((message) => [message.meta['msg_id'], message.data])).to.deep.equal([
        [msgId, parsed],
      ]);

      const note = await until(async () => (await noted()).find((one) => one.msgId === msgId));
      expect(note).to.deep.include({ data: parsed, publisher, deliveryCount: 1 });

      const push = await until(() =>
        pushed.find(({ headers }) => headers['idempotency-key'] === msgId),
      );
      expect(push.url).to.equal('/hook');
      expect(push.headers).to.include({
        authorization: basicAuth('hence', 'sent-out'),
        'content-type': 'application/json',
        'x-hence-delivery': '1',
      });
      const {
        sequence_id,
        cid,
        correl_id,
        pub_time_iso,
        recv_time_iso,
        expiration_time_iso,
        ...body
      } = JSON.parse(push.body) as Record<string, unknown>;
      expect(body).to.deep.equal({
        msg_id: msgId,
        topic_name: 'orders.new',
        data,
        data_class: '',
        data_size: data.length,
        data_preview: data,
        priority: 5,
        expiration: 31_536_000,
        publisher,
      });
      expect(sequence_id).to.be.a('number');
      expect(push.headers['x-hence-cid']).to.equal(cid);
      expect(correl_id).to.equal(cid);
      for (const time of [pub_time_iso, recv_time_iso, expiration_time_iso]) {
        expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
      }

      const { stdout } = await system.cli('message', 'get', 'desk', '-o', 'ndjson');
      const taken = JSON.parse(stdout) as MessageView;
      expect(taken).to.include({ msgId, publisher, topic: 'orders.new', deliveries: 1 });
      // The numbers are those that were published, not what a program made of them.
      expect(stdout).to.contain(`"data":${data}`);
      expect((await system.cli('message', 'get', 'desk', '-o', 'ndjson')).stdout).to.equal('');
    });
  }

  it('that an endpoint refuses is pushed again, as the same message', async () => {
    answers.push(
      { status: 500 },
      { status: 503, headers: { 'retry-after': '0' } },
      { status: 429, headers: { 'retry-after': '1' } },
    );
    const before = pushed.length;
    const { body } = await reader.publish('orders.new', 'again');
    await until(() => pushed.length >= before + 4);
    const pushes = pushed.slice(before);
    const sent = pushes.map(({ headers, body: text }) => [
      headers['idempotency-key'],
      (JSON.parse(text) as { data: string }).data,
    ]);
    expect(sent).to.deep.equal(Array(4).fill([body.msg_id, 'again']));
    const counts = pushes.map(({ headers }) => Number(headers['x-hence-delivery']));
    expect(counts.slice(0, 3)).to.deep.equal([1, 2, 3]);
    await until(async () => {
      const { standings = [] } = (await why(String(body.msg_id))) ?? {};
      return !standings.some(({ subscription }) => subscription === 'hook');
    });
  });

  it('tells its whole journey by its cid and by its own id', async () => {
    const { msgId, cid } = await announce('orders.relayed');
    const view = await until(async () => {
      const found = await why(cid);
      // Each worker tells of its own steps a moment later.
      const kinds = found?.steps.map(({ kind }) => kind);
      const whole = ['channel', 'publish', 'attempt', 'outgoing', 'delivered'] as const;
      return whole.every((kind) => kinds?.includes(kind)) ? found : undefined;
    });
    expect(view).to.include({ cid, cut: false, dropped: 0 });
    const told = view.steps.map(({ kind, ok, facts }) => ({ kind, ok, ...facts }));
    const expected = [
      {
        ...{ kind: 'channel', ok: true, channel: 'POST /announce' },
        ...{ service: 'shop.announce', version: 1 },
      },
      {
        ...{ kind: 'publish', ok: true, topic: 'orders.relayed', msgId },
        ...{ publisher: 'shop.announce', queues: 2 },
      },
      {
        ...{ kind: 'attempt', ok: false, subscription: 'relay', endpoint: 'service:shop.relay' },
        ...{ attempt: 1, msgId, error: 'unavailable: not yet' },
      },
      {
        ...{ kind: 'delivered', ok: true, subscription: 'relay', endpoint: 'service:shop.relay' },
        ...{ attempt: 2, msgId },
      },
      { kind: 'invoke', ok: true, service: 'shop.relay', version: 1 },
      { kind: 'outgoing', ok: true, connection: 'carrier', method: 'post', status: 200 },
    ];
    const places = expected.map((step) =>
      told.findIndex(({ kind, ok }) => kind === step.kind && ok === step.ok),
    );
    expect(places.map((place) => told[place])).to.deep.equal(
      expected.map((step, n) => ({ ...told[places[n] ?? -1], ...step })),
    );
    expect(places).to.deep.equal([...places].sort((one, two) => one - two));
    const times = view.steps.map((step) => step.at);
    expect(times).to.deep.equal([...times].sort());
    // It waits for the reader that has not asked yet, and for nobody else.
    expect(
      view.standings.map(({ subscription, state, deliveries }) => [
        subscription,
        state,
        deliveries,
      ]),
    ).to.deep.equal([['desk', 'waiting', 0]]);

    expect(await why(msgId)).to.deep.equal(view);
    const { stdout } = await system.cli('why', cid);
    expect(stdout).to.match(
      /channel .*publish .* → (?:relay, desk|desk, relay).*attempt .*FAILED.*delivered .*outgoing +carrier post → 200.*now {2}desk: waiting/s,
    );
  });

  it('reports by exit codes what became of a command', async () => {
    const { msgId } = await announce('orders.relayed');
    const lists: Readonly<Record<number, readonly string[]>> = {
      0: [
        'topic show orders.new',
        'subscription list',
        'permission check reader publish orders.new --why',
        'message browse --topic orders.relayed --subscription desk',
        `message show ${msgId}`,
        `why ${msgId}`,
        'message publish orders.new -d 1 --idempotency-key once',
        `message delete desk ${msgId} --yes`,
      ],
      2: [
        'topic create bad#topic',
        'topic create other --priority 10',
        'subscription create other --topic orders.new',
        'subscription create other --topic orders.new --service a.b --outgoing hook',
        'subscription create other',
        'permission create other --publish orders.new',
        'permission check reader',
        'permission check reader read orders.new',
        'message publish orders.new',
        'message publish orders.new -d {',
        'message publish orders.new -d 1 --priority 10',
        'message publish bad#topic -d 1',
        'message purge desk',
        'schedule create tick',
        'schedule create tick --service shop.note',
        'schedule create tick --service shop.note --cron 99',
        'schedule create tick --service shop.note --every soon',
        'topic delete orders.new',
        'nonsense',
      ],
      3: [
        'topic show nothing',
        'topic delete nothing --yes',
        'topic rename nothing other',
        'subscription show nothing',
        'subscription pause nothing',
        'permission show nothing',
        'message get nothing',
        'message show zpsm.nothing',
        'message browse --subscription nothing',
        'message redrive nothing',
        'message purge nothing --state waiting --yes --allow-data-loss',
        'message delete desk zpsm.nothing --yes',
        'why nothing',
        'schedule show nothing',
        'schedule run nothing',
      ],
      4: [
        'topic create orders.new',
        'topic create ORDERS.NEW',
        'topic rename orders.new orders.relayed',
        'subscription create desk --topic orders.new --service shop.note',
        'subscription create other --topic orders.new --security desk',
        'permission create reader --security reader --publish x',
        'security delete desk --yes',
        'message publish orders.new -d 2 --idempotency-key once',
      ],
      5: [
        'permission check reader subscribe orders.relayed',
        'permission check desk publish orders.new --why',
        'topic list --token wrong',
        'message get desk --token wrong',
      ],
    };
    for (const [code, commands] of Object.entries(lists)) {
      const ended = await Promise.all(
        commands.map(async (command) => {
          const result = await system.cli(...command.split(' '));
          if (Number(code) > 0) expect(result.stderr + result.stdout, command).not.to.equal('');
          return `${command}: ${result.code}${result.code === Number(code) ? '' : result.stderr}`;
        }),
      );
      expect(ended).to.deep.equal(commands.map((command) => `${command}: ${code}`));
    }
  });
});
