import { Service } from 'hence';

interface Order {
  order_id: string | number;
  customer?: string;
  /** Whom to notify. */
  user: string;
  testing?: boolean;
}

interface Notified {
  order_id: string | number;
  /** Pushover's id of the notification. */
  notification: string;
}

const input = { required: ['order_id', 'user'], optional: ['customer', 'testing'] };

/** Tells a user's phone that an order has come. */
export class Created extends Service<Order, Notified> {
  static io = { input, output: { required: ['order_id', 'notification'] } };

  async handle() {
    const { order_id, customer, user, testing } = this.request.input;
    const sent = await this.invoke<{ request: string }>('pushover.send-message', {
      user,
      subject: 'New order',
      message: `Order ${order_id}${customer ? ` from ${customer}` : ''}`,
      testing,
    });
    this.response.payload = { order_id, notification: sent.request };
  }
}

/** Takes an order: whoever subscribes to orders.created has it, on disk, before this answers. */
export class Place extends Service<Order, { order_id: string | number; msg_id: string }> {
  static io = { input, output: ['order_id', 'msg_id'] };

  async handle() {
    const order = this.request.input;
    const { msgId } = await this.publish('orders.created', order);
    this.response.payload = { order_id: order.order_id, msg_id: msgId };
  }
}

const day = 86_400;

/**
 * Subscribes to orders.created. While it throws, the order waits and is tried again. A message may
 * come a second time, after a crash: so what was notified is remembered for a day.
 */
export class Notify extends Service<Order> {
  static io = { input };

  async handle() {
    const notified = `orders.notified.${this.request.message?.msgId ?? this.cid}`;
    if (await this.kvdb.conn.exists(notified)) return;

    await this.invoke('order.created', this.request.input);
    await this.kvdb.conn.set(notified, '1', 'EX', day);
  }
}
