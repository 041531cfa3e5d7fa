import { expect } from 'chai';
import { Fault, type PublishResult, type Service } from 'hence';
import { testService } from 'hence/testing';
import { Notify, Place } from '../../services/order.ts';
import { OrderEvent, PublisherService, SubscriberService } from '../../services/order-events.ts';
import { Inline, Mixed, Plain, WithMetadata } from '../../services/publish.ts';
import { rejection } from '../support/rejection.ts';

async function published(Tested: new () => Service) {
  const tested = testService(Tested);
  const { msgId } = await tested.invoke<PublishResult>();
  expect(tested.logs[0]).to.deep.include({ level: 'info', message: 'published', msgId });
  expect(tested.published).to.have.length(1);
  expect(tested.published[0]).to.include({ msgId });
  return tested.published[0];
}

describe('the services of publish.ts', () => {
  it('publish.plain publishes data to a topic', async () => {
    const message = await published(Plain);
    expect(message).to.deep.include({
      topic: 'demo.1',
      data: { order_id: 12345, status: 'completed' },
    });
    expect(message).to.not.have.any.keys('priority', 'expirationMs');
  });

  it('publish.with-metadata adds cid, priority and expiration', async () => {
    const message = await published(WithMetadata);
    expect(message).to.deep.include({
      data: { order_id: 12345, status: 'completed' },
      priority: 7,
      expirationMs: 3_600_000,
    });
    expect(message?.correlId).to.equal(message?.cid);
  });

  it('publish.inline publishes its fields', async () => {
    const message = await published(Inline);
    expect(message).to.deep.include({
      topic: 'demo.1',
      data: { order_id: 123, status: 'pending' },
    });
  });

  it('publish.mixed tells metadata from payload', async () => {
    const message = await published(Mixed);
    expect(message).to.deep.include({
      data: { order_id: 123, status: 'pending' },
      priority: 7,
      expirationMs: 3_600_000,
    });
  });
});

describe('the services of order-events.ts', () => {
  it('publish an OrderEvent', async () => {
    const message = await published(PublisherService);
    expect(message?.topic).to.equal('orders.events');
    expect(message?.data).to.be.instanceOf(OrderEvent).and.deep.include({
      order_id: 'ORD-001',
      status: 'completed',
      amount: 99.95,
    });
  });

  it('log an OrderEvent that is delivered, as one or as plain JSON', async () => {
    const event = OrderEvent.fromDict({ order_id: 'ORD-001', status: 'completed', amount: 99.95 });
    for (const data of [event, event.toDict()]) {
      const tested = testService(SubscriberService);
      await tested.deliver(data, { topic: 'orders.events' });
      expect(tested.logs.map(({ message }) => message)).to.deep.equal([
        'Order: ORD-001',
        'Status: completed',
        'Amount: 99.95',
      ]);
    }
  });

  it('refuse what is no OrderEvent', async () => {
    const tested = testService(SubscriberService);
    const error = await rejection(tested.deliver({ amount: 'much' }));
    expect(error).to.include({ code: 'bad-request' });
    expect(error.message).to.contain('OrderEvent.amount must be a number, not "much"');
  });
});

describe('the order flow', () => {
  const order = { order_id: 7, customer: 'Ann', user: 'sean' };

  it('order.place publishes the order and answers with the message’s id', async () => {
    const tested = testService(Place);
    const answer = await tested.invoke({ ...order, other: 'filtered' });
    expect(answer).to.deep.equal({ order_id: 7, msg_id: tested.published[0]?.msgId });
    expect(tested.published[0]).to.deep.include({ topic: 'orders.created', data: order });
  });

  it('order.place fails when the order is not stored', async () => {
    const full = new Fault('unavailable', 'Redis is nearly full');
    const tested = testService(Place, { publish: full });
    expect(await rejection(tested.invoke(order))).to.equal(full);
  });

  function notify(answer: () => unknown) {
    const keys = new Set<string>();
    const kvdb = {
      exists: async (key: string) => Number(keys.has(key)),
      set: async (key: string) => keys.add(key),
    };
    return testService(Notify, { services: { 'order.created': answer }, kvdb });
  }

  it('order.notify notifies once, however often the message comes', async () => {
    const tested = notify(() => ({ order_id: 7, notification: 'n' }));
    await tested.deliver(order, { msgId: 'zpsm.1' });
    await tested.deliver(order, { msgId: 'zpsm.1', deliveryCount: 2 });
    await tested.deliver(order, { msgId: 'zpsm.2' });
    expect(tested.invoked).to.deep.equal(
      [1, 2].map(() => ({ service: 'order.created', input: order, async: false })),
    );
  });

  it('order.notify fails while the phone cannot be notified, and tries again', async () => {
    let down = true;
    const tested = notify(() => {
      if (down) throw new Fault('unavailable', 'Pushover answered 502');
      return { order_id: 7, notification: 'n' };
    });
    const error = await rejection(tested.deliver(order, { msgId: 'zpsm.1' }));
    expect(error).to.include({ code: 'unavailable' });
    down = false;
    await tested.deliver(order, { msgId: 'zpsm.1', deliveryCount: 2 });
    expect(tested.invoked).to.have.length(2);
  });
});
