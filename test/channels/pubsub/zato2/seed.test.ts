import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { serving, stopAll, subKey } from './fixture.ts';

const run = promisify(execFile);

/** The lines of Zato's own page on REST publish/subscribe (2.0), but for the port. */
describe('Zato 2.0 REST: the documented lines', () => {
  let redis: TestRedis;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(stopAll);

  const published = /^\{"status": "ZATO_OK", "msg_id": "(K[0-9A-Z]{27})"\}$/;
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}`;
  const consumed = (msgId: string) =>
    new RegExp(
      String.raw`^\{"status": "ZATO_OK", "results_count": 1, "results": \[\{"payload": "Hello pub/sub!", ` +
        String.raw`"metadata": \{"msg_id": "${msgId}", "topic": "/customer/created", ` +
        `"creation_time_utc": "${time}", "expiration": 60, "expire_at_utc": "${time}", ` +
        String.raw`"producer": "CRM", "priority": 5, "mime_type": "text/plain"\}\}\]\}$`,
    );

  it('print what the page prints, with curl', async function () {
    const world = await serving(redis);
    const curl = async (...args: string[]) => (await run('curl', ['-s', ...args])).stdout;
    try {
      await curl('--version');
    } catch {
      this.skip();
    }
    const publishing = `http://crm:crm@127.0.0.1:${world.port}/zato/pubsub/topic//customer/created/`;
    const first = await curl('-XPOST', publishing, '-d', 'Hello pub/sub!');
    expect(first).to.match(published);
    const consuming = `http://erp:erp@127.0.0.1:${world.port}/zato/pubsub/msg//customer/created/`;
    const second = await curl('-XPOST', '-H', `X-Zato-PubSub-Key:${subKey}`, consuming);
    expect(second).to.match(consumed(published.exec(first)?.[1] ?? ''));
  });

  it('print it with any client that leaves a path alone', async () => {
    const world = await serving(redis);
    const first = await world.ask('/zato/pubsub/topic//customer/created/', {
      user: 'crm',
      body: 'Hello pub/sub!',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(first.text).to.match(published);
    const second = await world.ask('/zato/pubsub/msg//customer/created/', {
      user: 'erp',
      headers: { 'X-Zato-PubSub-Key': subKey },
    });
    expect(second.text).to.match(consumed(first.json.msg_id ?? ''));
  });
});
