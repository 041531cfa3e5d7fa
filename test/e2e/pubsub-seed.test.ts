import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { PubSubClient } from '../support/pubsub-client.ts';
import { root } from '../support/root.ts';
import { plainEnv, type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const seeds = join(root, 'test', 'e2e', 'seeds');
/** Written in the programs. */
const seedPort = 11_223;

/** Where that port is somebody else's, what is sent to it goes to the system all the same. */
const detour = `import os, socket
_found = socket.getaddrinfo
def _detour(host, port, *args, **kwargs):
    if port == ${seedPort}:
        host, port = '127.0.0.1', int(os.environ['HENCE_TEST_PORT'])
    return _found(host, port, *args, **kwargs)
socket.getaddrinfo = _detour
`;

const models = `import { Model } from 'hence';
export class Parcel extends Model {
  parcel_id = '';
  weight = 0;
}
`;
const parcels = `import { Service } from 'hence';
import { Parcel } from '../lib/models.ts';
export class Send extends Service {
  async handle() {
    const { count } = this.request.input as { count: number };
    for (let n = 0; n < count; n++) {
      const parcel = new Parcel();
      parcel.parcel_id = 'P-' + n;
      parcel.weight = 1.5;
      await this.publish('parcels.sent', parcel);
    }
  }
}
export class Weigh extends Service {
  handle() {
    const parcel = this.request.rawRequest as Parcel;
    this.logger.info('weighed', { parcel: { ...parcel }, isParcel: parcel instanceof Parcel });
  }
}
`;

/** The topic's subscription is paused until it is edited. */
const more = `  parcels:
    topics: [parcels.sent]
    service: parcels.weigh
    paused: true
`;

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server, 'listening').then(() => true);
  server.listen(port, '127.0.0.1');
  const free = await listening.catch(() => false);
  if (free) {
    server.close();
    await once(server, 'close');
  }
  return free;
}

/** What ships: a fresh clone's configuration and services. */
async function shipped() {
  const files = await readdir(join(root, 'services'));
  const texts = await Promise.all(
    files.map(
      async (file) => [file, await readFile(join(root, 'services', file), 'utf8')] as const,
    ),
  );
  return {
    services: Object.fromEntries(texts),
    yaml: await readFile(join(root, 'hence.yaml'), 'utf8'),
  };
}

describe('The seed’s publishers and subscribers', () => {
  let system: System;
  let user: PubSubClient;
  let noPython: string | undefined;
  let aside: string;

  before(async () => {
    const { services, yaml } = await shipped();
    const port = (await isFree(seedPort)) ? seedPort : 0;
    system = await startSystem({
      services: { ...services, '../lib/models.ts': models, 'parcels.ts': parcels },
      yaml: yaml + more,
      args: ['--workers', '2', '--port', String(port)],
    });
    user = new PubSubClient(() => system.url, 'user.1', 'password.1');
    aside = await mkdtemp(join(tmpdir(), 'hence-python-'));
    await writeFile(join(aside, 'sitecustomize.py'), detour);
    noPython = await promisify(execFile)('python3', ['-c', 'import requests']).then(
      () => undefined,
      (error: Error) => error.message.split('\n').slice(0, 2).join(': '),
    );
  });
  after(async () => {
    await system?.stop();
    if (aside) await rm(aside, { recursive: true });
  });

  /** What a program logs, less the time each line begins with. */
  async function python(program: string): Promise<readonly string[]> {
    const { port } = new URL(system.url);
    const child = spawn('python3', [join(seeds, program)], {
      env: plainEnv(Number(port) === seedPort ? {} : { PYTHONPATH: aside, HENCE_TEST_PORT: port }),
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        out += String(bytes);
      });
    }
    const [code] = await once(child, 'close');
    expect(code, out).to.equal(0);
    return out
      .trimEnd()
      .split('\n')
      .map((line) => {
        expect(line).to.match(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - /);
        return line.slice('2026-01-01 00:00:00 - '.length);
      });
  }

  const lines = (message: string) => system.lines().filter((line) => line['message'] === message);

  const invoke = async (service: string, input: unknown = {}) => {
    const data = JSON.stringify(input);
    const { code, stdout, stderr } = await system.cli('invoke', service, '-d', data, '-o', 'json');
    expect(code, stderr).to.equal(0);
    const { payload } = JSON.parse(stdout) as { payload: Readonly<Record<string, unknown>> };
    return payload;
  };

  const change = async (type: string, name: string, keys: Readonly<Record<string, unknown>>) => {
    const reply = await system.admin('PATCH', `/api/definitions/${type}/${name}`, keys);
    expect(reply.status, reply.text).to.equal(200);
  };

  /** Resolves once every worker answers so: of some connections at once each gets one. */
  const everywhere = (status: number) =>
    until(async () => {
      const all = await Promise.all(Array.from({ length: 6 }, () => user.publish('demo.1', 'x')));
      return all.every((reply) => reply.status === status);
    });

  const empty = () =>
    until(async () => (await user.get({ max_messages: 1_000 })).body.message_count === 0);

  const id = /^zpsm\.\d{8}-\d{6}-\d{4}-[0-9a-f]{16}f$/;
  const order = { order_id: 12345, status: 'completed' };
  const orderInPython = "{'order_id': 12345, 'status': 'completed'}";

  /** What makes a publication fail, how it is undone, and what the caller is told. */
  const troubles = [
    {
      what: 'the topic is disabled',
      make: () => change('topic', 'demo.1', { enabled: false }),
      undo: () => change('topic', 'demo.1', { enabled: true }),
      status: '403 Forbidden',
      details: 'Topic demo.1 is inactive',
    },
    {
      what: 'the topic is not there',
      make: async () => {
        await system.admin('DELETE', '/api/definitions/topic/demo.1');
      },
      undo: () => system.define('topic', { name: 'demo.1' }),
      status: '403 Forbidden',
      details: 'Topic demo.1 is inactive',
    },
    {
      what: 'the user may not publish',
      make: () => change('permission', 'user.1', { publish: [] }),
      undo: () => change('permission', 'user.1', { publish: ['demo.1'] }),
      status: '401 Unauthorized',
      details: 'Permission denied',
    },
    {
      what: 'the password is another one',
      make: () => change('security', 'user.1', { password: 'password.2' }),
      undo: () => change('security', 'user.1', { password: 'password.1' }),
      status: '401 Unauthorized',
      details: 'Invalid credentials',
    },
  ] as const;

  describe('in Python, unmodified', () => {
    before(function () {
      if (noPython === undefined) return;
      // A mocha report shows why.
      this.test?.parent?.tests.forEach((test) => {
        test.title += ` (skipped: ${noPython})`;
      });
      this.skip();
    });
    beforeEach(empty);

    it('publish a message, and get it', async () => {
      const [response, published, messageId, ...none] = await python('publish.py');
      expect(none).to.deep.equal([]);
      expect(response).to.match(/^Response: \{'is_ok': True, 'cid': '.+', 'msg_id': 'zpsm\..+'\}$/);
      expect(published).to.equal('Published: True');
      expect(messageId?.replace('Message ID: ', '')).to.match(id);

      const [got, ...printed] = await python('get_messages.py');
      expect(got).to.contain(`'data': ${orderInPython}`);
      expect(got).to.contain(`'msg_id': '${messageId?.replace('Message ID: ', '')}'`);
      expect(printed).to.deep.equal([
        'Retrieved 1 message',
        'Topic: demo.1',
        `Data: ${orderInPython}`,
        'Priority: 5',
        '---',
      ]);
      expect((await python('get_messages.py')).slice(1)).to.deep.equal(['Retrieved 0 messages']);
    });

    it('publish, sleep, and get', async () => {
      const printed = await python('publish_and_get.py');
      const shown = printed.filter((line) => !line.startsWith('Response: '));
      expect(shown[0]?.replace('Published: ', '')).to.match(id);
      expect(shown.slice(1)).to.deep.equal(['Retrieved 1 message', `Data: ${orderInPython}`]);
      expect(printed).to.have.length(5);
    });

    it('tell a success from an error', async () => {
      const [, success = ''] = await python('errors.py');
      expect(success.replace('Success: ', '')).to.match(id);
      const { body } = await user.get();
      expect(body.messages.map(({ data }) => data)).to.deep.equal(['Order processed']);
      for (const { make, undo, status, details } of troubles) {
        await make();
        await everywhere(Number.parseInt(status, 10));
        const [response, ...printed] = await python('errors.py');
        expect(response).to.contain(`'status': '${status}'`);
        expect(printed).to.deep.equal([`Error: ${details}`]);
        await undo();
        await everywhere(200);
      }
    });
  });

  describe('by the same requests from Node', () => {
    beforeEach(empty);

    it('publish a message, and get it', async () => {
      const published = await user.publish('demo.1', order);
      expect(published.status).to.equal(200);
      expect(published.headers.get('content-type')).to.match(/^application\/json/);
      expect(Object.keys(published.body)).to.deep.equal(['is_ok', 'cid', 'msg_id', 'status']);
      expect(published.body).to.include({ is_ok: true, status: '200 OK' });
      expect(published.body.msg_id).to.match(id);
      expect(published.body.cid).to.match(/^\d{8}-\d{6}-\d{4}-[0-9a-f]{16}a$/);

      const got = await user.get();
      expect(got.status).to.equal(200);
      const { messages, cid: _, ...rest } = got.body;
      expect(rest).to.deep.equal({ is_ok: true, message_count: 1, status: '200 OK' });
      const [{ data, meta } = { data: undefined, meta: {} }] = messages;
      expect(data).to.deep.equal(order);
      expect(meta).to.include({
        topic_name: 'demo.1',
        size: JSON.stringify(order).length,
        priority: 5,
        expiration: 31_536_000,
        msg_id: published.body.msg_id,
        correl_id: published.body.cid,
      });
      expect(meta['sub_key']).to.match(/^sk[0-9a-f]{32}$/);
      expect((await user.get()).body).to.include({ is_ok: true, message_count: 0 });
    });

    for (const { what, make, undo, status, details } of troubles) {
      it(`are told when ${what}`, async () => {
        await make();
        await everywhere(Number.parseInt(status, 10));
        const { body } = await user.publish('demo.1', 'Order processed');
        expect(body).to.include({ is_ok: false, status, details });
        expect(body.cid).to.be.a('string').that.is.not.empty;
        expect(body).not.to.have.property('msg_id');
        await undo();
        await everywhere(200);
      });
    }
  });

  describe('as services', () => {
    it('publish plainly, with metadata, inline, and mixed', async () => {
      await empty();
      const ids: Record<string, unknown> = {};
      for (const name of ['plain', 'with-metadata', 'inline', 'mixed']) {
        ids[name] = (await invoke(`publish.${name}`))['msgId'];
      }
      const { messages } = (await user.get()).body;
      const pending = { order_id: 123, status: 'pending' };
      expect(
        messages.map(({ data, meta }) => [
          ...[meta['msg_id'], data, meta['priority'], meta['expiration']],
        ]),
      ).to.deep.equal([
        [ids['with-metadata'], order, 7, 3_600],
        [ids['mixed'], pending, 7, 3_600],
        [ids['plain'], order, 5, 31_536_000],
        [ids['inline'], pending, 5, 31_536_000],
      ]);
    });

    it('log the order that another service published, on whichever worker', async () => {
      await until(async () => {
        const { msgId } = await invoke('order-events.publisher-service');
        const published = await until(() =>
          lines('published').find((line) => line['msgId'] === msgId),
        );
        const received = await until(() => {
          const found = system
            .lines()
            .filter(({ cid }) => cid === published['cid'])
            .filter(({ service }) => service === 'order-events.subscriber-service');
          return found.length === 3 ? found : undefined;
        });
        expect(received.map(({ message }) => message)).to.deep.equal([
          'Order: ORD-001',
          'Status: completed',
          'Amount: 99.95',
        ]);
        return received.every(({ worker }) => worker !== published['worker']);
      });
    });

    it('get a Model of the class as it is now, also when its file changed while messages waited', async () => {
      await invoke('parcels.send', { count: 5 });
      await system.save(
        '../lib/models.ts',
        models.replace("parcel_id = '';", "parcel_id = '';\n  fragile = true;"),
      );
      await until(async () => (await system.service('parcels.weigh'))?.version === 2);
      expect(lines('weighed')).to.deep.equal([]);
      expect((await system.cli('subscription', 'resume', 'parcels')).code).to.equal(0);
      await until(() => lines('weighed').length === 5);
      const weighed = lines('weighed').map(({ parcel }) => parcel as { parcel_id: string });
      expect(lines('weighed').map(({ isParcel }) => isParcel)).to.deep.equal(Array(5).fill(true));
      expect(weighed.sort((a, b) => a.parcel_id.localeCompare(b.parcel_id))).to.deep.equal(
        [0, 1, 2, 3, 4].map((n) => ({ parcel_id: `P-${n}`, fragile: true, weight: 1.5 })),
      );
    });

    it('carry an order to a phone, and try again while they cannot', async () => {
      const { msg_id } = await invoke('order.place', {
        order_id: 'ORD-002',
        customer: 'ACME',
        user: 'sean',
      });
      const shown = async () => (await system.cli('why', String(msg_id))).stdout;
      await until(async () => (await shown()).includes('FAILED'));

      await system.define('outgoing', {
        name: 'pushover',
        url: 'https://api.pushover.net',
        path: '/1/messages.json',
        dataFormat: 'form',
        mode: 'standin',
      });
      for (const command of [
        ['SET', 'app.pushover.token', 'azGDORePK8gMaC0QOYAMyEEuzJnyUi'],
        ['HSET', 'users.sean', 'pushover', 'uQiRzpo4DXghDmr9QzzfQu27cmVRsG'],
      ]) {
        expect((await system.admin('POST', '/api/kvdb', { command })).status).to.equal(200);
      }
      const rung = await until(async () => {
        const reply = await system.admin('GET', '/api/standins/pushover');
        const { messages } = reply.json<{ messages: Record<string, unknown>[] }>();
        return messages.length > 0 ? messages : undefined;
      });
      expect(rung).to.have.length(1);
      expect(rung[0]).to.deep.include({
        title: 'New order',
        message: 'Order ORD-002 from ACME',
        status: 200,
      });
      const story = await until(async () => {
        const text = await shown();
        return text.includes('delivered') ? text : undefined;
      });
      expect(story).to.match(/outgoing +pushover/);
    });
  });
});
