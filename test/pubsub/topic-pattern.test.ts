import { expect } from 'chai';
import fc from 'fast-check';
import { Fault } from '../../runtime/core/fault.ts';
import { checkPattern, compilePattern } from '../../runtime/pubsub/topic-pattern.ts';

const matches = (pattern: string, topic: string) => compilePattern(pattern).matches(topic);

describe('Topic patterns', () => {
  const table: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['demo.1', ['demo.1'], ['demo', 'demo.1.2', 'demo.11', 'xdemo.1', 'demoX1', '']],
    ['*', ['a', '', 'a b/c'], ['a.b', '.', 'a.']],
    ['**', ['', 'a', 'a.b', 'a..b', '.'], []],
    ['orders.*', ['orders.a', 'orders.', 'orders.a-b'], ['orders', 'ordersXfoo', 'orders.a.b']],
    ['orders.*.123', ['orders.a.123', 'orders..123'], ['orders.123', 'orders.a.b.123']],
    ['*.created', ['a.created', '.created'], ['created', 'a.b.created', 'aXcreated']],
    ['*.*', ['a.b', '.'], ['a', 'a.b.c']],
    ['order-*', ['order-', 'order-1'], ['order', 'order-1.a']],
    ['*-eu', ['a-eu', '-eu'], ['a.b-eu', 'eu']],
    ['a*b*c', ['abc', 'aXbYc', 'abbc', 'abcbc'], ['ab', 'aXc', 'a.b.c']],
    [
      'orders.**',
      ['orders', 'orders.a', 'orders.a.b', 'orders.'],
      ['ordersX', 'ordersX.a', 'order'],
    ],
    ['**.new', ['new', 'a.new', 'a.b.new', '.new'], ['anew', 'new.a', 'a.new.b']],
    [
      'orders.**.new',
      ['orders.new', 'orders.a.new', 'orders.a.b.new', 'orders..new'],
      ['ordersnew', 'orders.anew', 'ordersX.new', 'orders.new.a', 'new', 'orders'],
    ],
    ['**.a.**', ['a', 'x.a', 'a.y', 'x.a.y', 'x.y.a.z'], ['xa', 'ay', 'x.ay', 'b']],
    ['a.**.**.b', ['a.b', 'a.x.b', 'a.x.y.b'], ['ab', 'a', 'b']],
    ['**.**', ['', 'a', 'a.b'], []],
    ['a.*.**', ['a.b', 'a.b.c', 'a.'], ['a', 'ab']],
    ['a.**.*', ['a.b', 'a.b.c', 'a.'], ['a', 'b']],
    ['a**', ['a', 'ab', 'a.b', 'ab.c.d'], ['b', 'xa']],
    ['a.x**', ['a.x', 'a.xy', 'a.x.y'], ['ax', 'a', 'a.y']],
    ['a.***', ['a.', 'a.b', 'a.b.c'], ['a', 'ab']],
    ['a.**x', ['a.x', 'a.b.x', 'a.bx'], ['ax', 'a.b']],
    ['a.(b|c)+[d]?^$.*', ['a.(b|c)+[d]?^$.e'], ['a.b.e', 'a.bd.e']],
    ['Orders.*', ['Orders.a'], ['orders.a']],
    ['toString', ['toString'], ['constructor']],
    ['*a*a*a', ['aaa', 'xaxaxa', 'aaaa'], ['aa', 'aaab', 'a.aa']],
  ];

  for (const [pattern, taken, left] of table) {
    it(`${pattern} takes ${taken.length} and leaves ${left.length}`, () => {
      const wrong = [
        ...taken.filter((topic) => !matches(pattern, topic)),
        ...left.filter((topic) => matches(pattern, topic)),
      ];
      expect(wrong).to.deep.equal([]);
    });
  }

  it('are exact without a star', () => {
    expect(compilePattern('a.b')).to.include({ text: 'a.b', wildcard: false });
    expect(compilePattern('a.*')).to.include({ text: 'a.*', wildcard: true });
  });

  it('agree with a regular expression on 100,000 pairs', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      'ab',
      '*',
      '**',
      '.',
      '.',
      '.**.',
      '.*.',
      '+',
      '$',
      '***',
    );
    const pattern = fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join(''));
    const topic = fc
      .array(fc.constantFrom('a', 'b', 'ab', '.', '.', '+', '$', '*'), { maxLength: 9 })
      .map((pieces) => pieces.join(''));
    const kinds = { taken: 0, left: 0 };
    fc.assert(
      fc.property(pattern, fc.array(topic, { minLength: 10, maxLength: 10 }), (text, topics) => {
        const compiled = compilePattern(text);
        const reference = referenceOf(text);
        for (const one of topics) {
          const expected = reference.test(one);
          kinds[expected ? 'taken' : 'left']++;
          if (compiled.matches(one) !== expected)
            throw new Error(`${text} and ${one}: ${expected}`);
        }
      }),
      { numRuns: 10_000 },
    );
    expect(kinds.taken + kinds.left).to.equal(100_000);
    expect(Math.min(kinds.taken, kinds.left)).to.be.greaterThan(5_000);
  });

  it('agree with it on topics made of the pattern', () => {
    const star = fc.constantFrom('', 'a', 'a.b', '.', 'a.', '.a', 'x..y');
    const pattern = fc.array(fc.constantFrom('a', 'b.', '.', '*', '**', '.**', '**.'), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(pattern, fc.array(star, { minLength: 9, maxLength: 9 }), (pieces, stars) => {
        const topic = pieces.map((one, at) => one.replace(/\*+/g, stars[at] ?? '')).join('');
        const text = pieces.join('');
        expect(matches(text, topic), `${text} and ${topic}`).to.equal(
          referenceOf(text).test(topic),
        );
      }),
      { numRuns: 5_000 },
    );
  });

  it('cost steps in proportion to pattern and topic, whatever they are', () => {
    const hostile: readonly (readonly [string, string])[] = [
      ['**.'.repeat(66), 'a.'.repeat(99)],
      ['**.a.'.repeat(40), `${'a.'.repeat(99)}b`],
      ['*a'.repeat(100), 'a'.repeat(199)],
      ['*a**'.repeat(50), `${'a'.repeat(198)}.`],
      [`${'*.'.repeat(99)}x`, `${'a.'.repeat(99)}y`],
      [`${'**a'.repeat(66)}b`, `${'a'.repeat(199)}c`],
    ];
    // Every step of 200 x 200, as plainly as it can be done.
    const grid = new Uint8Array(201);
    const plain = timeOf(() => {
      for (let at = 0; at < 200 * 200; at++)
        grid[at % 201] = (grid[(at + 1) % 201] ?? 0) | (at & 1);
    });
    for (const [pattern, topic] of hostile) {
      const compiled = compilePattern(pattern);
      expect(timeOf(() => compiled.matches(topic)) / plain, pattern).to.be.lessThan(20);
    }
  });

  it('are refused when they are empty, too long, not ASCII or of reserved words', () => {
    const refusal = (text: string): string | undefined => {
      try {
        checkPattern(text);
        return undefined;
      } catch (error) {
        expect(Fault.from(error).code).to.equal('bad-request');
        return Fault.from(error).message;
      }
    };
    const reserved = ['zato.s.to.a', 'my.ZATO.x', 'zpsk.rest', 'a.zPsK', '*zato*'];
    for (const text of ['', 'x'.repeat(201), 'caf\u00e9.*', ' a', 'a ', 'a#', ...reserved]) {
      expect(refusal(text), text).to.be.a('string');
    }
    for (const text of ['a', '*', '**', 'x'.repeat(200), 'a b', 'zat.o', 'A.B']) {
      expect(refusal(text), text).to.equal(undefined);
    }
    expect(refusal('ZPSK.a')).to.contain('"zpsk"').and.to.contain('ZPSK.a');
  });
});

/** Its own reading of the rules: segment by segment, everything outside the stars escaped. */
function referenceOf(pattern: string): RegExp {
  const segments = pattern.split('.');
  let source = '';
  let opened = true;
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1;
    if (segment === '**' && opened && last) source += '.*';
    else if (segment === '**' && opened) source += '(?:.*\\.)?';
    else if (segment === '**') source += '(?:\\..*)?';
    else source += `${opened ? '' : '\\.'}${segmentSource(segment)}`;
    if (!(segment === '**' && opened)) opened = false;
  }
  return new RegExp(`^${source}$`, 's');
}

function segmentSource(segment: string): string {
  return segment
    .split(/(\*+)/)
    .map((part) => {
      if (part === '*') return '[^.]*';
      if (/^\*+$/.test(part)) return '.*';
      return part.replace(/[\\^$+?()[\]{}|/]/g, '\\$&');
    })
    .join('');
}

/** The fastest of several, in ms for 20 times. */
function timeOf(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 15; round++) {
    const start = performance.now();
    for (let times = 0; times < 20; times++) work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
