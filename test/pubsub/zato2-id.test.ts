import { expect } from 'chai';
import fc from 'fast-check';
import { isIdOf, messageId, seqOf, zato2Id } from '../../runtime/pubsub/message-id.ts';

const key = fc.record({
  receivedUs: fc.integer({ min: 0, max: 4_000_000_000_000_000 }),
  salt: fc.integer({ min: 0, max: 65_535 }),
  seq: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
});

describe('Ids of Zato 2.0', () => {
  it('have the form of Zato’s, and lead back to the message', () => {
    fc.assert(
      fc.property(key, (parts) => {
        const msgId = messageId(parts);
        const id = zato2Id(msgId);
        expect(id).to.match(/^K[0-9A-HJKMNP-TV-Z]{27}$/);
        expect(seqOf(id)).to.equal(parts.seq);
        expect(isIdOf(id, msgId)).to.equal(true);
      }),
    );
  });

  it('are of one message alone', () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        const id = zato2Id(messageId(one));
        const sameSecond =
          Math.floor(one.receivedUs / 1_000_000) === Math.floor(other.receivedUs / 1_000_000);
        const same = sameSecond && one.salt === other.salt && one.seq === other.seq;
        expect(isIdOf(id, messageId(other))).to.equal(same);
      }),
    );
  });

  it('look like no other of theirs, and a mistyped one is none', () => {
    const ids = Array.from({ length: 3 }, (_, seq) =>
      zato2Id(messageId({ receivedUs: 1_790_000_000_000_000, salt: 7, seq })),
    );
    expect(new Set(ids.map((one) => one.slice(0, 4))).size).to.equal(3);
    const [id = ''] = ids;
    for (let at = 1; at < id.length; at++) {
      const wrong = `${id.slice(0, at)}${id[at] === '0' ? '1' : '0'}${id.slice(at + 1)}`;
      expect(seqOf(wrong), wrong).to.equal(undefined);
    }
    for (const none of ['', 'K', id.slice(1), `${id}0`, id.toLowerCase(), `K${'U'.repeat(27)}`]) {
      expect(seqOf(none), none).to.equal(undefined);
    }
    expect(zato2Id('mine')).to.equal('mine');
  });
});
