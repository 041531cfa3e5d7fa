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

/** Tells a user's phone that an order has come. */
export class Created extends Service<Order, Notified> {
  static io = {
    input: { required: ['order_id', 'user'], optional: ['customer', 'testing'] },
    output: { required: ['order_id', 'notification'] },
  };

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
