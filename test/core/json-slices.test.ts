import { expect } from 'chai';
import fc from 'fast-check';
import { sliceOfKey } from '../../runtime/core/json-slices.ts';

function cut(text: string, key = 'data'): string | undefined {
  const slice = sliceOfKey(text, key);
  return slice && text.slice(slice.start, slice.end);
}

describe('sliceOfKey', () => {
  for (const raw of [
    '12345678901234567890',
    '-0',
    '1e400',
    '-1.50E+2',
    'true',
    'null',
    '"\\ud800"',
    '"}\\"]\\\\"',
    '"\\\\\\\\"',
    '""',
    '{}',
    '[ 1 , {"a" : "]}"} ]',
    '{"data":{"data":[]}}',
    '"\u65e5\u672c \ud83d\ude00"',
  ]) {
    it(`keeps ${raw} as it is written`, () => {
      expect(cut(`{"data":${raw}}`)).to.equal(raw);
      expect(cut(`\ufeff \n{ "a" : [ "data" ] ,\t"data" : ${raw}\r\n, "z":1 }`)).to.equal(raw);
    });
  }

  it('takes the last of equal keys, however they are written', () => {
    expect(cut('{"data":1,"data":2}')).to.equal('2');
    expect(cut('{"data":1,"d\\u0061ta":02.5}'.replace('02', '2'))).to.equal('2.5');
    expect(cut('{"d\\u0061ta":[1],"x":{"data":3}}')).to.equal('[1]');
  });

  it('finds only keys of the top level', () => {
    expect(cut('{}')).to.equal(undefined);
    expect(cut('{"a":{"data":1},"b":"\\"data\\":1"}')).to.equal(undefined);
    expect(cut('{"Data":1,"dat":2,"data ":3}')).to.equal(undefined);
  });

  it('cuts what JSON.parse reads, in any object', () => {
    const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());
    fc.assert(
      fc.property(object, fc.integer({ min: 0, max: 3 }), (given, indent) => {
        const text = JSON.stringify(given, undefined, indent);
        const parsed = JSON.parse(text) as Record<string, unknown>;
        for (const key of Object.keys(parsed)) {
          expect(JSON.parse(cut(text, key) ?? 'undefined')).to.deep.equal(parsed[key]);
        }
      }),
      { numRuns: 300 },
    );
  });
});
