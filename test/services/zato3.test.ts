import { expect } from 'chai';
import type { Service } from 'hence';
import { testService } from 'hence/testing';
import type { WsxPubSubPort } from '../../runtime/service/pubsub-ports.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';
import {
  GetMessages,
  PublishSample,
  ResumeWsxSubscription,
  SubscribeEndpoint,
  SubscribeWebSocket,
} from '../../services/zato3.ts';
import { gather, type Parties } from '../support/parties.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const topic = '/zato/demo/sample';

describe('the services of zato3.ts', () => {
  let redis: TestRedis;
  let world: Parties;
  const resumed: string[] = [];

  before(async () => {
    redis = await startRedis();
    const wsxPubsub: WsxPubSubPort = {
      subscribe: async () => 'zpsk.websockets.d552ea2b0f2ff7a3815f9282',
      resume: async (_session, subKey) => {
        resumed.push(subKey);
      },
    };
    world = await gather(redis, {
      topics: { [topic]: { enabled: true } },
      endpoints: { 'My REST Endpoint': { subscribe: ['/zato/demo/*'] } },
      services: {
        publish: PublishSample,
        subscribe: SubscribeEndpoint,
        'subscribe-wsx': SubscribeWebSocket,
        get: GetMessages,
        resume: ResumeWsxSubscription,
      },
      ports: { wsxPubsub },
    });
  });

  after(async () => {
    world.close();
    await redis.stop();
  });

  const run = async (service: string, input: unknown = {}, wsx?: WsxSession) => {
    const call = { cid: 'c', service, input, rawRequest: input, ...(wsx ? { wsx } : {}) };
    const { payload } = await world.registry.invoke(call);
    return { payload, line: world.log.lines.at(-1)?.message ?? '' };
  };

  it('log what Zato’s documentation shows: keys, ids, and the messages', async () => {
    const { payload, line } = await run('subscribe');
    expect(line).to.match(/^Received sub_key `zpsk\.rest\.[0-9a-f]{24}`$/);
    const { sub_key } = payload as { sub_key: string };
    expect((await run('publish')).line).to.match(/^Message ID is `zpsm[0-9a-f]{24}`$/);

    const got = await run('get', { sub_key });

    expect(got.line).to.equal(`Messages \`${JSON.stringify(got.payload, null, 2)}\``);
    expect((got.payload as object[])[0]).to.include({
      ...{ topic_name: topic, data: 'My data', priority: 9, sub_key, size: 7 },
      ...{ has_gd: false, delivery_count: 0, mime_type: 'text/plain', server_name: 'server1' },
    });
    expect((await run('get', { sub_key })).payload).to.deep.equal([]);
  });

  it('subscribe the WebSocket client that calls, and resume it', async () => {
    const wsx = { id: 'ws.1' } as WsxSession;
    const { line } = await run('subscribe-wsx', {}, wsx);
    expect(line).to.equal('Received sub_key `zpsk.websockets.d552ea2b0f2ff7a3815f9282`');
    const sub_key = 'zpsk.wsx.6b0b83ebea3f6e6a64e8e73f';
    await run('resume', { sub_key }, wsx);
    expect(resumed).to.deep.equal([sub_key]);
  });

  it('can be tested without a broker', async () => {
    const publish = testService(PublishSample as unknown as new () => Service);
    const { msg_id } = await publish.invoke<{ msg_id: string }>();
    expect(msg_id).to.match(/^zpsm[0-9a-f]{24}$/);
    expect(publish.published[0]).to.deep.include({ topic, data: 'My data', priority: 9 });
    const subscribe = testService(SubscribeEndpoint);
    await subscribe.invoke();
    expect(subscribe.logs[0]?.message).to.match(/^Received sub_key `zpsk\.rest\.[0-9a-f]{24}`$/);
    const given = [{ data: 'from the test' }] as never;
    const get = testService(GetMessages, { pubsub: { getMessages: async () => given } });
    expect(await get.invoke({ sub_key: 'k' })).to.equal(given);
    expect(await testService(GetMessages).invoke({ sub_key: 'k' })).to.deep.equal([]);
  });
});
