import { expect } from 'chai';
import fc from 'fast-check';
import { cidFrom, newCid } from '../../runtime/core/cid.ts';
import { withDeadline } from '../../runtime/core/deadline.ts';
import { formatDuration, parseDuration } from '../../runtime/core/duration.ts';
import { Fault, faultFromRecord, faultToRecord } from '../../runtime/core/fault.ts';
import { maxJsonDepth, parseJson } from '../../runtime/core/json.ts';
import { isName, kebabCase } from '../../runtime/core/name.ts';
import { rejection } from '../support/rejection.ts';

describe('Fault', () => {
  it('keeps what is a Fault and wraps anything else as internal, with its cause', () => {
    const known = new Fault('conflict', 'taken');
    const bug = new TypeError('x is not a function');

    expect(Fault.from(known)).to.equal(known);
    expect(Fault.from(bug)).to.include({ code: 'internal', message: 'Internal error', cause: bug });
    expect(Fault.from('text').cause).to.equal('text');
  });

  it('crosses a process boundary whole, and keeps the stack of a bug for the log', () => {
    const fault = new Fault('too-many', 'Slow down', { details: { limit: 3 }, retryAfterMs: 500 });

    const back = faultFromRecord(structuredClone(faultToRecord(fault)));
    expect(back).to.include({ code: 'too-many', message: 'Slow down', retryAfterMs: 500 });
    expect(back.details).to.deep.equal({ limit: 3 });

    const bug = faultToRecord(new TypeError('boom'));
    expect(bug.message).to.equal('Internal error');
    expect(bug.stack).to.contain('TypeError: boom');
    expect(faultToRecord('text').stack).to.equal('text');
  });

  it('knows a Fault of another copy of the package by its brand', () => {
    const foreign = Object.assign(new Error('other copy'), { [Symbol.for('hence.Fault')]: true });
    expect(Fault.is(foreign)).to.equal(true);
    expect(Fault.is(new Error('plain'))).to.equal(false);
    expect(Fault.is(null)).to.equal(false);
  });
});

describe('parseJson', () => {
  it('takes 100 levels and refuses 101, whether brackets stand in text or not', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

    expect(parseJson(nested(maxJsonDepth))).to.be.an('array');
    expect(() => parseJson(nested(maxJsonDepth + 1))).to.throw(Fault, 'deeper than 100');
    expect(parseJson(JSON.stringify(['['.repeat(500)]))).to.deep.equal(['['.repeat(500)]);
    expect(parseJson(JSON.stringify(['\\"['.repeat(500)]))).to.have.length(1);
    expect(parseJson(`[${'{},'.repeat(300)}1]`)).to.have.length(301);
  });

  it('refuses keys that reach a prototype, and text that is not JSON', () => {
    for (const text of [
      '{"__proto__":{"admin":true}}',
      '{"a":[{"__proto__":1}]}',
      '{"constructor":{"prototype":{"admin":true}}}',
      '',
      '{',
      "{'a':1}",
      'undefined',
    ]) {
      expect(() => parseJson(text, 'Body'), text).to.throw(Fault, /^Body is not valid JSON/);
    }
    expect(({} as Record<string, unknown>)['admin']).to.equal(undefined);
  });

  it('agrees with JSON.parse on any JSON that is not deep', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        fc.pre(!/__proto__|constructor/.test(text));
        expect(parseJson(text)).to.deep.equal(JSON.parse(text));
      }),
    );
  });
});

describe('names', () => {
  it('turns class and file names into kebab-case', () => {
    const cases = {
      SendMessage: 'send-message',
      HTTPPing: 'http-ping',
      send_sms: 'send-sms',
      Order2Invoice: 'order2-invoice',
      already: 'already',
    };
    for (const [from, to] of Object.entries(cases)) expect(kebabCase(from)).to.equal(to);
  });

  it('takes names up to 128 characters of the allowed ones', () => {
    for (const name of ['a', 'user.1', 'A-b_c.9', 'x'.repeat(128)]) {
      expect(isName(name), name).to.equal(true);
    }
    for (const name of ['', '.a', '-a', 'a b', 'a/b', 'ä', 'a..b', 'x'.repeat(129), 7, null]) {
      expect(isName(name), String(name)).to.equal(false);
    }
  });

  it('takes a safe correlation id from a caller and makes one for any other', () => {
    expect(cidFrom('abc-1')).to.equal('abc-1');
    expect(cidFrom('x'.repeat(128))).to.have.length(128);
    for (const bad of ['x'.repeat(129), 'a b', 'a\r\nb', '', undefined, ['a', 'b']]) {
      expect(cidFrom(bad)).to.match(/^[0-9a-f]{32}$/);
    }
    expect(newCid()).to.not.equal(newCid());
  });
});

describe('durations', () => {
  it('reads what people write and refuses the rest', () => {
    expect(parseDuration('250ms')).to.equal(250);
    expect(parseDuration('1.5s')).to.equal(1_500);
    expect(parseDuration('10m')).to.equal(600_000);
    expect(parseDuration('2h')).to.equal(7_200_000);
    expect(parseDuration('1d')).to.equal(86_400_000);
    expect(parseDuration(42)).to.equal(42);
    for (const bad of ['', '5', 's', '-1s', '0s', '5 parsecs', Number.NaN, 0, -3]) {
      expect(() => parseDuration(bad), String(bad)).to.throw(Fault, 'Not a duration');
    }
  });

  it('writes them short', () => {
    expect([1.234, 84.4, 5_200, 180_000].map(formatDuration)).to.deep.equal([
      '1.2 ms',
      '84 ms',
      '5.2 s',
      '3 min',
    ]);
  });
});

describe('withDeadline', () => {
  it('gives the outcome in time, and its own error after the deadline', async () => {
    const late = () => new Fault('timeout', 'late');

    expect(await withDeadline(Promise.resolve(7), 1_000, late)).to.equal(7);
    expect(await rejection(withDeadline(new Promise(() => {}), 5, late))).to.include({
      code: 'timeout',
    });
    const broken = Promise.reject(new Error('broken'));
    expect((await rejection(withDeadline(broken, 1_000, late))).message).to.equal('broken');
  });
});
