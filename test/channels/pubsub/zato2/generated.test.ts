import { expect } from 'chai';
import fc from 'fast-check';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { serving, stopAll, subKey, type World } from './fixture.ts';

const runs = 600;
const atOnce = 20;

const number = fc.oneof(
  fc.integer().map(String),
  fc.constantFrom('1', '9', '10', '0', '-0', '1e3', ' 5 ', '+1', '٥', '9'.repeat(40), 'NaN', ''),
);
const odd = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), number);
const query = fc
  .record(
    {
      priority: fc.oneof(number, odd),
      expiration: fc.oneof(number, odd),
      mime_type: fc.oneof(fc.constantFrom('text/plain', 'application/json'), odd),
      msg_id: fc.oneof(fc.constantFrom('mine', 'K'.repeat(28)), odd),
      max: fc.oneof(number, odd),
      dir: fc.oneof(fc.constantFrom('fifo', 'lifo'), odd),
      format: fc.oneof(fc.constantFrom('json', 'xml', 'xml'), odd),
      ack: fc.oneof(fc.constantFrom('true', 'false', '1'), odd),
      reject: fc.oneof(fc.constantFrom('true', 'false', '1'), odd),
    },
    { requiredKeys: [] },
  )
  .map((fields) =>
    Object.entries(fields)
      .map(([name, value]) => `${name}=${escaped(value)}`)
      .join('&'),
  );
const item = fc.oneof(
  { weight: 5, arbitrary: fc.constant('/customer/created') },
  { weight: 2, arbitrary: fc.constantFrom('/customer/off', '/customer/none', '/other', 'mine') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }).map(escaped) },
  { weight: 1, arbitrary: fc.constantFrom('%', '%00', '..', '/../x', '//', `K${'0'.repeat(27)}`) },
);
const itemType = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('topic', 'msg') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('queue', 'TOPIC', '%74opic', '__proto__', 'constructor'),
  },
);
const request = fc.record({
  itemType,
  item,
  query: fc.oneof(query, fc.constant(''), fc.constant('&&=%%%&max')),
  method: fc.constantFrom('POST', 'POST', 'POST', 'POST', 'DELETE', 'DELETE', 'GET', 'PUT'),
  body: fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constant('')),
  type: fc.oneof(
    fc.constantFrom('text/plain', 'application/json', 'text/x+json', ''),
    fc.constant('é'),
  ),
  user: fc.constantFrom('crm', 'crm', 'crm', 'erp', 'erp', 'erp', 'hr', null),
  key: fc.constantFrom(subKey, subKey, subKey, 'K06', ''),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

describe('Zato 2.0 REST: generated requests', () => {
  let redis: TestRedis;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(stopAll);

  it(`answers ${runs} odd ones as documented, and serves a good one after each batch`, async function () {
    this.timeout(60_000);
    const world = await serving(redis, { maxDepth: 100_000 });
    world.subscription.maxInflight = 100_000;
    const seed = 20_150_109;
    const requests = fc.sample(request, { numRuns: runs, seed });
    const seen = new Map<number, number>();
    for (let at = 0; at < runs; at += atOnce) {
      const batch = requests.slice(at, at + atOnce);
      const statuses = await Promise.all(batch.map((one) => answerTo(world, one)));
      for (const status of statuses) seen.set(status, (seen.get(status) ?? 0) + 1);
      await canary(world, `canary ${at}`);
    }
    for (const status of [200, 400, 401, 403, 405, 500]) {
      expect(seen.get(status) ?? 0, `${status} among ${[...seen]}`).to.be.above(10);
    }
    expect(world.log.lines.filter(({ level }) => level === 'error')).to.deep.equal([]);
  });
});

async function answerTo(world: World, one: Request): Promise<number> {
  const { method, body, user, key } = one;
  const path = `/zato/pubsub/${one.itemType}/${one.item}/?${one.query}`;
  const answer = await world.ask(path, {
    method,
    user,
    ...(method === 'GET' ? {} : { body }),
    headers: { 'x-zato-pubsub-key': key, 'content-type': one.type },
  });
  const told = `${answer.status} to ${JSON.stringify(one)}: ${answer.text}`;
  if (answer.status >= 500) {
    expect([answer.status, answer.text.includes('Invalid sub_key `')], told).to.deep.equal([
      500,
      true,
    ]);
  } else expect([200, 400, 401, 403, 404, 405], told).to.include(answer.status);
  expect(answer.text).to.not.match(/node_modules|\bat .*\.js:\d/);
  return answer.status;
}

/** What is published is consumed and acknowledged, whatever came before. */
async function canary(world: World, payload: string): Promise<void> {
  const { json, status } = await world.publish(payload, '?priority=9');
  expect(status).to.equal(200);
  const [first] = (await world.consume('?max=1')).json.results ?? [];
  expect([first?.payload, first?.metadata.msg_id]).to.deep.equal([payload, json.msg_id]);
  const { text } = await world.settle(json.msg_id ?? '', '?ack=true');
  expect(text).to.equal('{"status": "ZATO_OK", "details": ""}');
}

function escaped(text: string): string {
  // Lone surrogates have no UTF-8.
  return encodeURIComponent(Buffer.from(text).toString());
}
