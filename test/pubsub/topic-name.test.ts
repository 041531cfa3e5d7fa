import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { checkTopicName, isTopicPath, normaliseTopic } from '../../runtime/pubsub/topic-name.ts';

describe('Topic names', () => {
  const refusal = (name: string): string | undefined => {
    try {
      checkTopicName(name);
      return undefined;
    } catch (error) {
      expect(Fault.from(error).code).to.equal('bad-request');
      return Fault.from(error).message;
    }
  };

  it('are refused in the words of Zato', () => {
    expect(refusal('')).to.equal('Topic name cannot be empty');
    for (const name of [' a', 'a ', '\ta', 'a\n', ' ']) {
      expect(refusal(name)).to.equal(`Topic name cannot begin or end with whitespace: \`${name}\``);
    }
    expect(refusal('x'.repeat(201))).to.equal(
      'Topic name exceeds maximum length of 200 characters: 201',
    );
    expect(refusal('a#b')).to.equal('Topic name cannot contain "#" character');
    expect(refusal('caf\u00e9')).to.equal('Topic name contains non-ASCII characters: caf\u00e9');
  });

  it('count a pair of surrogates as one character, and tell the first thing that is wrong', () => {
    expect(refusal('\u{1F600}'.repeat(200))).to.match(/^Topic name contains non-ASCII/);
    expect(refusal('\u{1F600}'.repeat(201))).to.match(/characters: 201$/);
    expect(refusal(` #${'\u00e9'.repeat(300)}`)).to.match(/^Topic name cannot begin/);
    expect(refusal(`#${'\u00e9'.repeat(300)}`)).to.match(/characters: 301$/);
    expect(refusal('#\u00e9')).to.match(/"#"/);
  });

  it('may have 200 characters, spaces, dots, stars and words of the runtime', () => {
    for (const name of ['a', 'x'.repeat(200), 'a b/c', '..', 'a.*', 'zato.s.to.a', 'Demo.1']) {
      expect(refusal(name), name).to.equal(undefined);
    }
  });

  it('are the same in any case', () => {
    expect(normaliseTopic('DEMO.Orders.1')).to.equal('demo.orders.1');
  });

  it('are found in a URL when they have nothing but its characters', () => {
    for (const text of ['demo.1', 'a b', '$a-b:c|d=e~f^g%h@i+j,k;l!m(n)o/p_q', 'caf\u00e9', '..']) {
      expect(isTopicPath(text), text).to.equal(true);
    }
    for (const text of [
      '',
      'a#b',
      'a*b',
      'a?b',
      'a&b',
      'a"b',
      "a'b",
      'a<b',
      'a\nb',
      'a[b]',
      '\\',
    ]) {
      expect(isTopicPath(text), text).to.equal(false);
    }
  });
});
