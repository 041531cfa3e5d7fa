import { expect } from 'chai';
import { isIdOf, seqOf } from '../../runtime/pubsub/message-id.ts';
import { until } from '../support/until.ts';

/** A message as every front end can say it; facts that an API does not know are left out of it. */
export interface ContractMessage {
  readonly topic: string;
  /** JSON of its data. */
  readonly json: string;
  readonly priority?: number;
  /** In seconds. */
  readonly expiration?: number;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
}

/** The same message as a front end gives it to its reader. */
export interface Received {
  /** In the way of this front end. */
  readonly id: string;
  readonly topic: string;
  /** JSON of its data, as it is written there; or the text, where an API has nothing but text. */
  readonly json?: string;
  readonly text?: string;
  readonly priority: number;
  readonly expirationMs: number;
  readonly correlId?: string | undefined;
  readonly inReplyTo?: string | undefined;
  readonly extClientId?: string | undefined;
}

/** A way in. */
export interface Publisher {
  /** Resolves with the id as this front end gives it. */
  publish(message: ContractMessage): Promise<string>;
}

/** A way out: a reader with a queue of its own for the topic of the contract. */
export interface Consumer {
  /** Takes what waits, for good. */
  take(): Promise<readonly Received[]>;
}

/** What a front end cannot do by its nature, and is not asked. */
interface PublisherTraits {
  /** Numbers that JavaScript cannot hold: an API whose data are values has none. */
  readonly bigNumbers: boolean;
  /** Correlation id and its like. */
  readonly facts: boolean;
}

interface ConsumerTraits {
  readonly facts: boolean;
}

export interface FrontEnds {
  readonly publishers: Readonly<Record<string, Publisher>>;
  readonly consumers: Readonly<Record<string, Consumer>>;
}

export interface FrontEndTable {
  readonly topic: string;
  readonly publishers: Readonly<Record<string, PublisherTraits>>;
  readonly consumers: Readonly<Record<string, ConsumerTraits>>;
  /** Opens all of them, once for the suite. */
  open(): Promise<FrontEnds>;
  close(): Promise<void>;
}

const plain = [
  ['text', '"Hello"'],
  ['text that is no ASCII', '"zażółć gęślą jaźń, 日本語, 🐎 \\u0001"'],
  ['text that looks like JSON', '"{\\"a\\": 1}"'],
  ['text that looks like a number', '"12"'],
  ['a number', '12.5'],
  ['a boolean', 'true'],
  ['a list', '[1,[2,{"a":null}]]'],
  ['an object with keys that are no ASCII', '{"ключ":{"ö":["é"]},"a\\"b":"\\\\"}'],
] as const;

const big = [
  ['a big integer', '12345678901234567890'],
  ['numbers that JavaScript would change', '{"n":[12345678901234567890123,1.10,-0,1e400]}'],
] as const;

/** What is published through any front end comes out of any other as it went in. */
export function frontEndContract(name: string, table: FrontEndTable): void {
  const { topic, publishers, consumers } = table;

  describe(name, () => {
    let ends: FrontEnds;

    before(async () => {
      ends = await table.open();
    });

    after(() => table.close());

    const publisher = (from: string): Publisher => known(ends.publishers, from);
    const consumer = (to: string): Consumer => known(ends.consumers, to);

    async function drain(): Promise<void> {
      await Promise.all(
        Object.values(ends.consumers).map(async (one) => {
          while ((await one.take()).length > 0);
        }),
      );
    }

    /** Publishes one message, and gives what came out: of each consumer exactly one. */
    async function cross(
      from: string,
      message: ContractMessage,
    ): Promise<{ readonly id: string; readonly got: Readonly<Record<string, Received>> }> {
      const id = await publisher(from).publish(message);
      const got: Record<string, Received> = {};
      for (const to of Object.keys(consumers)) {
        const taken = await consumer(to).take();
        expect(taken, `messages from ${from} to ${to}`).to.have.length(1);
        if (taken[0]) got[to] = taken[0];
      }
      return { id, got };
    }

    for (const [from, { bigNumbers, facts }] of Object.entries(publishers)) {
      describe(`from ${from} to ${Object.keys(consumers).join(', ')}`, () => {
        beforeEach(drain);

        for (const [what, json] of [...plain, ...(bigNumbers ? big : [])]) {
          it(`${what} stays what it was`, async () => {
            const { got } = await cross(from, { topic, json });
            for (const [to, received] of Object.entries(got)) expectData(received, json, to);
          });
        }

        it('topic, priority, expiry and id stay what they were', async () => {
          const message = { topic, json: '"x"', priority: 7, expiration: 120 };
          const { id, got } = await cross(from, message);
          for (const [to, received] of Object.entries(got)) {
            expect(received, to).to.include({ topic, priority: 7, expirationMs: 120_000 });
            expect(isSameId(id, received.id), `${id} and ${received.id} to ${to}`).to.equal(true);
          }
        });

        if (facts) {
          it('correlation id, id of the question and client’s id stay what they were', async () => {
            const said = { correlId: 'corr-ż', inReplyTo: 'question-1', extClientId: 'client 1' };
            const { got } = await cross(from, { topic, json: '"x"', ...said });
            for (const [to, received] of Object.entries(got)) {
              if (consumers[to]?.facts) expect(received, to).to.include(said);
            }
          });
        }

        it('each of several keeps the priority that came with its id', async () => {
          const ids = new Map<string, number>();
          for (const priority of [1, 9, 5]) {
            const message = { topic, json: '"x"', priority };
            ids.set(await publisher(from).publish(message), priority);
          }
          for (const to of Object.keys(consumers)) {
            expectPriorities(await consumer(to).take(), ids, to);
          }
        });
      });
    }

    it('what has expired comes out nowhere, whoever published it', async () => {
      await drain();
      for (const from of Object.keys(publishers)) {
        await publisher(from).publish({ topic, json: '"late"', expiration: 1 });
      }
      const expired = Date.now() + 1_100;
      await until(() => Date.now() > expired);
      for (const to of Object.keys(consumers)) {
        expect(await consumer(to).take(), to).to.deep.equal([]);
      }
    });

    it('many from all at once come out once each', async () => {
      await drain();
      const each = 20;
      const ids = await Promise.all(
        Object.keys(publishers).flatMap((from) =>
          Array.from({ length: each }, (_, n) =>
            publisher(from).publish({ topic, json: `"${from} ${n}"` }),
          ),
        ),
      );
      for (const to of Object.keys(consumers)) {
        const seen: Received[] = [];
        for (;;) {
          const taken = await consumer(to).take();
          if (taken.length === 0) break;
          seen.push(...taken);
        }
        expect(
          seen.map(({ id }) => seqOf(id)),
          to,
        ).to.have.members(ids.map(seqOf));
      }
    });
  });
}

function expectData({ json, text }: Received, expected: string, to: string): void {
  const value: unknown = JSON.parse(expected);
  if (typeof value !== 'string') expect(json ?? text, to).to.equal(expected);
  // A string may be written with other escapes; where there is only text it has no quotes.
  else expect(json === undefined ? text : JSON.parse(json), to).to.equal(value);
}

function expectPriorities(
  taken: readonly Received[],
  ids: ReadonlyMap<string, number>,
  to: string,
): void {
  expect(taken, to).to.have.length(ids.size);
  for (const [id, priority] of ids) {
    const found = taken.find((one) => isSameId(id, one.id));
    expect(found?.priority, `${id} to ${to}`).to.equal(priority);
  }
}

/** The same message, in the words of two front ends. */
function isSameId(one: string, other: string): boolean {
  const seq = seqOf(one);
  if (seq === undefined || seq !== seqOf(other)) return false;
  const whole = [one, other].find((id) => id.startsWith('zpsm.'));
  return whole === undefined || (isIdOf(one, whole) && isIdOf(other, whole));
}

function known<T>(ends: Readonly<Record<string, T>>, name: string): T {
  const end = ends[name];
  if (end === undefined) throw new Error(`No front end is called ${name}`);
  return end;
}
