import { expect } from 'chai';
import fc from 'fast-check';
import { Fault } from '../../runtime/core/fault.ts';
import { encodeData } from '../../runtime/service/message-data.ts';
import { Model } from '../../runtime/service/model.ts';

class Customer extends Model {
  name = '';
  since: Date = new Date(0);
}

class Line extends Model {
  item = '';
  count = 1;
}

class Order extends Model {
  static readonly fields = { lines: [Line] as const, gift: Line };
  order_id = '';
  amount = 0;
  paid = false;
  customer = new Customer();
  lines: Line[] = [];
  tags: string[] = [];
  gift: Line | null = null;
  note: unknown = null;
  meta: Record<string, unknown> = {};
  #secret = 'kept';

  total(): number {
    return this.amount * (this.#secret === 'kept' ? 1 : 0);
  }
}

const full = {
  order_id: 'ORD-001',
  amount: 99.95,
  paid: true,
  customer: { name: 'Ann', since: '2025-01-01T00:00:00.000Z' },
  lines: [
    { item: 'pen', count: 2 },
    { item: 'cup', count: 1 },
  ],
  tags: ['new'],
  gift: { item: 'card', count: 1 },
  note: [1, { a: 2 }],
  meta: { deep: { er: 1 } },
};

describe('Model', () => {
  it('is made from plain data, Models and lists of Models within it too', () => {
    const order = Order.fromDict(full);

    expect(order).to.be.instanceOf(Order);
    expect(order.customer).to.be.instanceOf(Customer);
    expect(order.customer.since).to.deep.equal(new Date('2025-01-01'));
    expect(order.lines.map((line) => line instanceof Line)).to.deep.equal([true, true]);
    expect(order.gift).to.be.instanceOf(Line);
    expect(order.total()).to.equal(99.95);
    expect(JSON.parse(order.toJson())).to.deep.equal(full);
  });

  it('keeps defaults where keys are missing, and ignores unknown keys', () => {
    const order = Order.fromDict({ order_id: 'x', color: 'red', total: 5, lines: [{ size: 1 }] });
    expect(order).to.not.have.property('color');
    expect(order.total()).to.equal(0);
    expect(order).to.deep.include({ order_id: 'x', amount: 0, paid: false, gift: null });
    expect(order.lines[0]).to.deep.include({ item: '', count: 1 });
    expect(Order.fromDict({}).toDict()).to.deep.equal(new Order().toDict());
  });

  it('reads numbers and dates that are text (Zato 4.x)', () => {
    expect(Order.fromDict({ amount: '12' }).amount).to.equal(12);
    expect(Order.fromDict({ amount: ' 1.5 ' }).amount).to.equal(1.5);
    expect(Customer.fromDict({ since: 5 }).since.getTime()).to.equal(5);
  });

  const wrong: [unknown, string][] = [
    ['text', 'Order must be an object, not "text"'],
    [[], 'Order must be an object, not a list'],
    [null, 'Order must be an object, not null'],
    [{ order_id: 12 }, 'Order.order_id must be a string, not 12'],
    [{ order_id: null }, 'Order.order_id must be a string, not null'],
    [{ amount: 'many' }, 'Order.amount must be a number, not "many"'],
    [{ amount: '' }, 'Order.amount must be a number, not ""'],
    [{ amount: [1] }, 'Order.amount must be a number, not a list'],
    [{ paid: 'yes' }, 'Order.paid must be a boolean, not "yes"'],
    [{ customer: 'Ann' }, 'Order.customer must be an object, not "Ann"'],
    [{ customer: { since: 'soon' } }, 'Order.customer.since must be a date, not "soon"'],
    [{ lines: {} }, 'Order.lines must be a list, not an object'],
    [{ lines: [{}, { count: {} }] }, 'Order.lines[1].count must be a number, not an object'],
    [{ tags: 'x'.repeat(41) }, 'Order.tags must be a list, not a text of 41 characters'],
    [{ meta: 1 }, 'Order.meta must be an object, not 1'],
  ];
  for (const [value, says] of wrong) {
    it(`refuses: ${says}`, () => {
      expect(() => Order.fromDict(value)).to.throw(Fault, says);
    });
  }

  it('does not let data reach its prototype or its methods', () => {
    const order = Order.fromDict(
      JSON.parse('{"__proto__":{"bad":1},"toJson":"x","constructor":1}'),
    );
    expect(order).to.not.have.property('bad');
    expect(order.toJson).to.be.a('function');
    expect(order.constructor).to.equal(Order);
  });

  it('gives plain data and copies that share nothing with it', () => {
    const order = Order.fromDict(full);
    const dict = order.toDict();
    const copy = order.clone();

    expect(copy).to.be.instanceOf(Order);
    expect(copy.toDict()).to.deep.equal(dict);
    copy.customer.name = 'Bob';
    copy.lines[0] = new Line();
    copy.customer.since.setTime(0);
    copy.meta['deep'] = 0;
    expect(order.toDict()).to.deep.equal(dict);
    expect(dict['customer']).to.not.be.instanceOf(Model);
    expect(copy.total()).to.equal(99.95);
  });

  it('leaves functions among its fields to the class', () => {
    class Counter extends Model {
      count = 2;
      double = () => this.count * 2;
    }
    const counter = Counter.fromDict({ count: 4, double: 'x' });
    expect(counter.double()).to.equal(8);
    expect(counter.toDict()).to.deep.equal({ count: 4 });
    expect(counter.clone().double()).to.equal(8);
  });

  it('ends where it holds itself', () => {
    const order = new Order();
    order.note = order;
    expect(() => order.toDict()).to.throw(Fault, 'holds itself');
    expect(() => order.clone()).to.throw(Fault, 'holds itself');
  });

  it('comes back as it was from its JSON, whatever its fields hold', () => {
    const orders = fc.record({
      order_id: fc.string(),
      amount: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
      paid: fc.boolean(),
      tags: fc.array(fc.string()),
      lines: fc.array(fc.record({ item: fc.string(), count: fc.integer() })),
      // Keys that would reach a prototype are refused: that is another test's.
      note: fc
        .jsonValue({ maxDepth: 3 })
        .filter((value) => !/"(?:__proto__|constructor)":/.test(JSON.stringify(value))),
    });
    fc.assert(
      fc.property(orders, (fields) => {
        const order = Order.fromDict(fields);
        const json = order.toJson();
        expect(Order.fromDict(JSON.parse(json)).toJson()).to.equal(json);
      }),
      { numRuns: 200 },
    );
  });

  describe('published', () => {
    const named = () => 'order.Order';

    it('carries its JSON and the name of its class', () => {
      const order = Order.fromDict(full);
      const { data, ...rest } = encodeData(order, 't', named);
      expect(JSON.parse(String(data))).to.deep.equal(full);
      expect(rest).to.deep.equal({ contentType: 'application/json', dataClass: 'order.Order' });
    });

    it('is refused where a subscriber could not rebuild it', () => {
      expect(() => encodeData(new Order(), 'orders', () => undefined)).to.throw(
        Fault,
        'Publishing to orders: data is a Model whose class Order is not exported from its file',
      );
      const order = new Order();
      Object.assign(order, { amount: Number.NaN });
      expect(() => encodeData(order, 't', named)).to.throw(Fault, 'Order.amount must be a number');
      Object.assign(order, { amount: 1, note: { big: 1n } });
      expect(() => encodeData(order, 't', named)).to.throw(Fault, 'Order.note.big is a BigInt');
    });
  });
});
