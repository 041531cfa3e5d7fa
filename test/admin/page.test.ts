import { expect } from 'chai';
import { limitOf, pageByName, pageOf } from '../../runtime/admin/page.ts';
import { Fault } from '../../runtime/core/fault.ts';

const items = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name }));

function names(page: { readonly items: readonly { readonly name: string }[] }): string {
  return page.items.map(({ name }) => name).join('');
}

describe('A page', () => {
  it('names the item after which the next one begins, and nothing on the last', () => {
    const first = pageByName(items, { limit: '2' });
    expect(first).to.deep.include({ total: 5, after: 'b' });
    const second = pageByName(items, { limit: '2', after: 'b' });
    expect(names(second)).to.equal('cd');
    const third = pageByName(items, { limit: 2, after: 'd' });
    expect(names(third)).to.equal('e');
    expect(third).to.not.have.property('after');
  });

  it('that ends exactly at the end is the last', () => {
    expect(pageByName(items, { limit: 5 })).to.not.have.property('after');
    expect(pageByName([], {})).to.deep.equal({ items: [], total: 0 });
  });

  it('goes on after an item that is gone by now', () => {
    expect(names(pageByName(items, { after: 'bb' }))).to.equal('cde');
    expect(names(pageByName(items, { after: 'z' }))).to.equal('');
  });

  it('in an order of its own asks that order', () => {
    const reports = [3, 2, 1].map((id) => ({ id }));
    const order = {
      nameOf: ({ id }: { id: number }) => String(id),
      follows: ({ id }: { id: number }, after: string) => id < Number(after),
    };
    expect(pageOf(reports, { limit: 1 }, order)).to.deep.equal({
      items: [{ id: 3 }],
      total: 3,
      after: '3',
    });
    expect(pageOf(reports, { after: '3' }, order).items).to.deep.equal([{ id: 2 }, { id: 1 }]);
  });

  it('has from 1 to 1,000 items, 100 unless told', () => {
    expect([limitOf(undefined), limitOf('1'), limitOf('1000'), limitOf(1_000)]).to.deep.equal([
      100, 1, 1_000, 1_000,
    ]);
    for (const limit of ['0', '1001', '-1', '1.5', '1e2', 'all', ' 5', '', '0x10', 0, 1_001]) {
      expect(() => limitOf(limit), String(limit)).to.throw(Fault, 'limit must be');
    }
  });
});
