import { expect } from 'chai';
import { pushBody } from '../../runtime/delivery/push-body.ts';
import { retryDelayMs } from '../../runtime/delivery/retry-delay.ts';
import type { Message } from '../../runtime/pubsub/message.ts';

function message(data: string | Buffer, more: Partial<Message> = {}): Message {
  return {
    msgId: 'zpsm.1',
    seq: 17,
    topic: 'a',
    priority: 5,
    expirationMs: 31_536_000_000,
    cid: 'c',
    contentType: 'application/json',
    hops: 0,
    receivedAt: Date.UTC(2026, 7, 22, 15, 9, 3, 124),
    expiresAt: Date.UTC(2027, 7, 22, 15, 9, 3, 124),
    data: Buffer.from(data),
    ...more,
  };
}

const bodyOf = (given: Message) => JSON.parse(pushBody(given).text);

describe('the pushed body', () => {
  it('has times with microseconds and a zone, and the publisher’s own time as it was given', () => {
    const body = bodyOf(message('1'));
    expect(body.recv_time_iso).to.equal('2026-08-22T15:09:03.124000+00:00');
    expect(body.pub_time_iso).to.equal('2026-08-22T15:09:03.124000+00:00');
    expect(body.expiration_time_iso).to.equal('2027-08-22T15:09:03.124000+00:00');
    expect(body.expiration).to.equal(31_536_000);
    const pubTime = '2025-01-01T12:00:00+00:00';
    expect(bodyOf(message('1', { pubTime })).pub_time_iso).to.equal(pubTime);
  });

  it('has the data as a string, whatever it was, and big numbers whole', () => {
    expect(bodyOf(message('"text"')).data).to.equal('text');
    expect(bodyOf(message('{"n":12345678901234567890}')).data).to.equal(
      '{"n":12345678901234567890}',
    );
    expect(bodyOf(message('true')).data).to.equal('true');
    expect(bodyOf(message('"quoted"', { contentType: 'text/plain' })).data).to.equal('"quoted"');
  });

  it('has bytes that are no text as base64, and says so', () => {
    const { text, headers } = pushBody(
      message(Buffer.from([0xff, 0xfe]), { contentType: 'application/octet-stream' }),
    );
    expect(JSON.parse(text).data).to.equal('//4=');
    expect(headers).to.include({ 'x-hence-data-encoding': 'base64' });
  });

  it('counts characters, and shows the first hundred', () => {
    const body = (count: number) => bodyOf(message(JSON.stringify('😀'.repeat(count))));
    expect(body(99)).to.include({ data_size: 99, data_preview: '😀'.repeat(99) });
    expect(body(100)).to.include({ data_size: 100, data_preview: '😀'.repeat(100) });
    expect(body(101)).to.include({ data_size: 101, data_preview: '😀'.repeat(100) });
  });

  it('has who published it, and what it answers, only when known', () => {
    const body = bodyOf(message('1'));
    expect(body).to.have.property('cid', 'c');
    expect(body).to.not.have.any.keys('publisher', 'correl_id', 'in_reply_to', 'ext_client_id');
    const more = { publisher: 'p', correlId: 'co', inReplyTo: 'r', extClientId: 'x' };
    expect(bodyOf(message('1', { ...more, dataClass: 'k' }))).to.include({
      publisher: 'p',
      correl_id: 'co',
      in_reply_to: 'r',
      ext_client_id: 'x',
      data_class: 'k',
    });
  });
});

describe('the retry schedule', () => {
  it('steps with the failures, repeats its last, and varies each by 10 %', () => {
    const schedule = [1_000, 5_000, 30_000];
    const waits = [0, 1, 2, 3, 50].map((failures) => retryDelayMs(schedule, failures, 0.5));
    expect(waits).to.deep.equal([1_000, 5_000, 30_000, 30_000, 30_000]);
    expect(retryDelayMs([1_000], 0, 0)).to.equal(900);
    expect(retryDelayMs([1_000], 0, 0.999999)).to.equal(1_100);
  });
});
