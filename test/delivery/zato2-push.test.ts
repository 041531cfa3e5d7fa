import { expect } from 'chai';
import type { OutgoingConnection } from '../../outgoing/http/connection.ts';
import { connect, httpServer, type RunningServer } from '../outgoing/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Delivering, delivering } from './fixture.ts';

describe('deliveries in the format of Zato 2.0', () => {
  let redis: TestRedis;
  let node: Delivering;
  let server: RunningServer;
  let connection: OutgoingConnection;
  let got: { readonly text: string; readonly type: string | undefined }[];
  let statuses: number[];

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  beforeEach(async () => {
    got = [];
    statuses = [];
    server = await httpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const type = request.headers['content-type'];
        got.push({ text: Buffer.concat(chunks).toString(), type });
        response.writeHead(statuses.shift() ?? 200).end();
      });
    });
    ({ connection } = connect({ url: server.url, path: '/callback' }, { name: 'crm' }));
    node = await delivering(redis.path, {
      runner: { breakerResetMs: 50, outgoing: () => ({ conn: connection }) },
    });
    const view = { outgoing: 'crm', format: 'zato2', retryMs: [1], ...{ service: undefined } };
    await node.subscribe('/customer/created', view as object);
  });

  afterEach(async () => {
    await node.stop();
    await server.stop();
    await connection.close();
    await redis.restart();
  });

  const publish = (value: unknown) =>
    node.publish('/customer/created', value, { publisher: 'CRM', expirationMs: 60_000 });

  it('POST what a consumer would be answered', async () => {
    await publish('Hello');
    const { text, type } = await until(() => got[0]);
    expect(type).to.equal('application/json');
    const shown = text
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}/g, 'TIME')
      .replace(/K[0-9A-Z]{27}/, 'ID');
    expect(shown).to.equal(
      '{"status": "ZATO_OK", "results_count": 1, "results": [{"payload": "Hello", "metadata": ' +
        '{"msg_id": "ID", "topic": "/customer/created", "creation_time_utc": "TIME", "expiration": 60, ' +
        '"expire_at_utc": "TIME", "producer": "CRM", "priority": 5, "mime_type": "application/json"}}]}',
    );
    await until(() => node.drained('/customer/created'));
  });

  for (const status of [204, 202, 302, 400, 404, 410, 500]) {
    it(`come again after ${status}: only 200 acknowledges`, async () => {
      statuses = [status, status, status, status];
      await publish(status);
      await until(() => got.length === 5);
      await until(() => node.drained('/customer/created'));
      expect(await node.dead('/customer/created')).to.deep.equal([]);
      expect(node.paused).to.deep.equal([]);
    });
  }

  it('wait as long as a 429 says, which is no attempt', async () => {
    statuses = [429];
    node.set('/customer/created', { maxDeliveries: 1 });
    await publish('busy');
    const depth = async () => (await node.broker.depth(['/customer/created']))[0];
    await until(async () => got.length === 1 && (await depth())?.waiting === 1);
    expect(await node.dead('/customer/created')).to.deep.equal([]);
  });
});
