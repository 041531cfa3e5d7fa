import { expect } from 'chai';
import fc from 'fast-check';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { basic, serving, stopAll, type World } from './fixture.ts';

const runs = 2_000;
const atOnce = 20;

/** What a request may be made of: good, nearly good, and nonsense. */
const json = fc.jsonValue({ maxDepth: 3 });
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -0, 1, 9, 10, -1, 5.5, 1e308, 1_000, 1_001, 3_600, 3_601, 60, 61),
  fc.constantFrom('5', ' 7 ', '0x5', '1e3', '_1', '\u0665', 'NaN', ''),
);
const odd = fc.oneof(json, number, fc.string({ unit: 'binary' }), fc.constant(null));
const keys = [
  ...['data', 'priority', 'expiration', 'correl_id', 'in_reply_to', 'ext_client_id', 'pub_time'],
  ...['max_messages', 'max_len', 'ack', 'lease', 'ack_ids', 'reason', 'delay', 'topic_name'],
  ...['__proto__', 'constructor', 'toString', 'd\u0000ata'],
];
const fields = fc.dictionary(fc.constantFrom(...keys), odd, { maxKeys: 8 });
const text = fc.oneof(
  { weight: 4, arbitrary: fields.map((one) => JSON.stringify(one)) },
  { weight: 1, arbitrary: json.map((one) => JSON.stringify(one)) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  // Good JSON with one character changed, and cut short.
  {
    weight: 2,
    arbitrary: fc
      .tuple(fields, fc.nat(), fc.constantFrom(...'{}[]",:\\ \u0000e-1'))
      .map(([one, at, sign]) => broken(JSON.stringify({ data: 1, ...one }), at, sign)),
  },
);
const body = fc.oneof(text, fc.uint8Array({ maxLength: 100 }).map(Buffer.from), fc.constant(''));
const topic = fc.oneof(
  fc.constantFrom('demo.1', 'DEMO.1', 'off', 'small', 'demo.none', 'x'.repeat(300), '', '..', '/'),
  fc.string({ unit: 'binary', maxLength: 20 }).map(encodeURIComponent),
  fc.webPath(),
  fc.string({ maxLength: 20 }).map((one) => one.replace(/[^!-~]|[#?]/g, '%')),
);
const path = fc.oneof(
  { weight: 3, arbitrary: fc.constant('/pubsub/topic/demo.1') },
  { weight: 2, arbitrary: topic.map((one) => `/pubsub/topic/${one}`) },
  { weight: 1, arbitrary: fc.constantFrom('/pubsub/topic/off', '/pubsub/topic/demo.none') },
  { weight: 1, arbitrary: topic.map((one) => `/pubsub/subscribe/topic/${one}`) },
  { weight: 1, arbitrary: topic.map((one) => `/pubsub/${one}`) },
  {
    weight: 3,
    arbitrary: fc.constantFrom('get', 'ack', 'reject').map((one) => `/pubsub/messages/${one}`),
  },
);
const method = fc.oneof(
  { weight: 9, arbitrary: fc.constant('POST') },
  { weight: 1, arbitrary: fc.constantFrom('GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE') },
);
const headerText = fc.string({ maxLength: 300 }).map((one) => one.replace(/[^ -~]/g, '?'));
const headers = fc.record(
  {
    'idempotency-key': headerText,
    'content-type': headerText,
    'content-encoding': fc.constantFrom('gzip', 'identity', 'x'),
    authorization: fc.oneof(
      { weight: 30, arbitrary: headerText },
      // Each of these costs a hash.
      { weight: 1, arbitrary: fc.string({ unit: 'binary' }).map((one) => basic(one)) },
    ),
    'x-hence-cid': headerText,
    'x-zato-cid': headerText,
  },
  { requiredKeys: [] },
);
const request = fc.record({
  path,
  method,
  body,
  headers: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headers }),
  user: fc.constantFrom('user.1', 'user.1', 'user.1', 'user.1', 'user.2', null),
});

describe('Zato 4 REST: generated requests', () => {
  let redis: TestRedis;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(stopAll);

  it(`answers ${runs} odd ones below 500, and serves a good one after each`, async function () {
    this.timeout(60_000);
    const world = await serving(redis);
    const seed = 20_260_822;
    const requests = fc.sample(request, { numRuns: runs, seed });
    const seen = new Map<number, number>();
    for (let at = 0; at < runs; at += atOnce) {
      const batch = requests.slice(at, at + atOnce);
      const answers = await Promise.all(batch.map((one) => answerTo(world, one)));
      for (const [index, status] of answers.entries()) {
        seen.set(status, (seen.get(status) ?? 0) + 1);
        if (status >= 200 && status < 500) continue;
        expect.fail(`seed ${seed}: ${status} to ${JSON.stringify(batch[index])}`);
      }
      const canary = await world.publish({ data: at });
      expect(canary.status).to.equal(200);
    }
    for (const status of [200, 400, 401, 403, 404, 405]) {
      expect(seen.get(status) ?? 0, `${status} among ${[...seen]}`).to.be.above(10);
    }
    expect(world.log.lines.filter(({ level }) => level === 'error')).to.deep.equal([]);
    expect(({} as Record<string, unknown>)['admin']).to.equal(undefined);
  });
});

async function answerTo(
  world: World,
  one: ReturnType<
    typeof fc.sample<typeof request extends fc.Arbitrary<infer T> ? T : never>
  >[number],
): Promise<number> {
  const given = one.headers as Record<string, string>;
  const user = 'authorization' in given ? null : one.user;
  // Not a request of HTTP at all, which the client refuses to send.
  const bodyless = ['GET', 'TRACE', 'OPTIONS'].includes(one.method);
  const content = bodyless ? undefined : one.body;
  const { status, text: answered } = await world.ask(one.path, content, {
    method: one.method,
    headers: given,
    user,
  });
  expect(answered).to.not.match(/node_modules|\bat .*\.js:\d/);
  return status;
}

function broken(good: string, at: number, sign: string): string {
  const place = at % (good.length + 1);
  return at % 3 === 0 ? good.slice(0, place) : good.slice(0, place) + sign + good.slice(place + 1);
}
