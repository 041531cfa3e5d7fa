import { expect } from 'chai';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { admitAll, ask, Client, stopAll, topic, type Worker, worker } from './fixture.ts';

const publishService = 'zato.pubsub.pubapi.publish-message';
const subscribeService = 'zato.pubsub.pubapi.subscribe-wsx';
const unsubscribeService = 'zato.pubsub.pubapi.unsubscribe';

describe('Publish/subscribe services of a WebSocket gateway', () => {
  let redis: TestRedis;
  let one: Worker;

  before(async () => {
    redis = await startRedis();
    one = await worker(redis, 'refusals');
    await admitAll(one);
  });

  after(async () => {
    await stopAll();
    await redis.stop();
  });

  for (const [what, path, service, request, status, message] of [
    [
      'a channel without an endpoint',
      '/nobody',
      subscribeService,
      { topic_name: topic },
      403,
      'You are not allowed to access this resource',
    ],
    [
      'a user without an endpoint',
      '/stranger',
      publishService,
      { topic_name: topic, data: 1 },
      403,
      'You are not allowed to access this resource',
    ],
    [
      'a topic that its patterns do not match',
      '/crm',
      subscribeService,
      { topic_name: '/other' },
      403,
      'You are not allowed to access this resource',
    ],
    [
      'publishing by who may only subscribe',
      '/erp',
      publishService,
      { topic_name: topic, data: 1 },
      403,
      'You are not allowed to access this resource',
    ],
    [
      'a topic that is not defined',
      '/erp',
      subscribeService,
      { topic_name: '/undefined' },
      404,
      'No such topic `/undefined`',
    ],
    [
      'publishing to a topic that is not enabled',
      '/crm',
      publishService,
      { topic_name: '/customer/off', data: 1 },
      503,
      'Topic is inactive `/customer/off`',
    ],
    ['no topic', '/crm', subscribeService, {}, 400, 'There is no topic_name'],
    ['no request', '/crm', subscribeService, undefined, 400, 'The request is not an object'],
    ['a name that is none', '/crm', subscribeService, { topic_name: 'a#b' }, 400, undefined],
    ['no data', '/crm', publishService, { topic_name: topic }, 400, 'There is no data'],
    [
      'a priority out of range',
      '/crm',
      publishService,
      { topic_name: topic, data: 1, priority: 10 },
      400,
      'Priority `10` outside of allowed range 1-9',
    ],
    [
      'a flag that is none',
      '/crm',
      subscribeService,
      { topic_name: topic, unsub_on_wsx_close: 'x' },
      400,
      'unsub_on_wsx_close must be true or false',
    ],
    [
      'an unknown way to acknowledge',
      '/crm',
      subscribeService,
      { topic_name: topic, ack: 'x' },
      400,
      'ack must be client or sent',
    ],
    [
      'an unknown key',
      '/crm',
      'zato.pubsub.resume-wsx-subscription',
      { sub_key: 'zpsk.websockets.0' },
      404,
      'No such sub_key `zpsk.websockets.0`',
    ],
    [
      'unsubscribing an unknown key',
      '/crm',
      unsubscribeService,
      { sub_key: 'x' },
      404,
      'No such sub_key `x`',
    ],
  ] as const) {
    it(`refuse ${what}: ${status}`, async () => {
      const secret = { username: path.slice(1), secret: 'password' };
      const client = await Client.loggedIn(one, path, path === '/nobody' ? {} : secret);
      const frame = await ask(client, service, request);
      expect(frame.meta).to.include({ msg_type: 'zwsx.rsperr', status });
      if (message !== undefined) expect(frame.meta.error_message).to.equal(message);
      expect(one.door.size).to.equal(0);
      expect(one.parties.broker.broker.subscriptions()).to.deep.equal([]);
    });
  }
});
