import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { parseRedisTarget, showTarget } from '../../runtime/redis/target.ts';

describe('Redis target', () => {
  it('takes addresses and sockets', () => {
    expect(parseRedisTarget('redis://host:6380/2')).to.deep.equal({ url: 'redis://host:6380/2' });
    expect(parseRedisTarget(' rediss://u:p@[::1]:6380 ')).to.deep.equal({
      url: 'rediss://u:p@[::1]:6380',
    });
    expect(parseRedisTarget('/run/redis.sock')).to.deep.equal({ path: '/run/redis.sock' });
    expect(parseRedisTarget('unix:///run/redis.sock')).to.deep.equal({ path: '/run/redis.sock' });
  });

  it('hides the password when it shows one', () => {
    const shown = (text: string) => showTarget(parseRedisTarget(text));
    expect(shown('redis://sean:s3cret@host:6380/2')).to.equal('redis://sean:***@host:6380/2');
    expect(shown('redis://:s3cret@host')).to.equal('redis://:***@host');
    expect(shown('redis://host/?password=s3cret')).to.equal('redis://host');
    expect(shown('redis://host:6379')).to.equal('redis://host:6379');
    expect(shown('/run/redis.sock')).to.equal('/run/redis.sock');
  });

  for (const [text, sentence] of [
    ['', 'expected redis://'],
    ['localhost:6379', 'expected redis://'],
    ['http://sean:s3cret@host', 'expected redis://'],
    ['redis://', 'the host is missing'],
    ['redis://sean:s3c/r@et@host:6379', 'not a valid URL'],
    ['redis://sean:s3cret@host:99999', 'not a valid URL'],
    ['redis://sean:s3cret@host/users', 'only a database number'],
    ['sean:s3cret@host?password=s3cret', 'expected redis://'],
  ] as const) {
    it(`refuses "${text}" in one sentence without the password`, () => {
      const refuse = () => parseRedisTarget(text);
      expect(refuse)
        .to.throw(Fault, sentence)
        .that.satisfies((fault: Fault) => !/s3c|et@/.test(fault.message))
        .and.has.property('code', 'bad-request');
    });
  }
});
