import { Model, Service } from 'hence';

/** Published as itself, and an OrderEvent again for each service that subscribes. */
export class OrderEvent extends Model {
  order_id = '';
  status = '';
  amount = 0;
}

export class PublisherService extends Service {
  async handle() {
    const event = new OrderEvent();
    event.order_id = 'ORD-001';
    event.status = 'completed';
    event.amount = 99.95;

    // Subscribers get an OrderEvent, not a plain object; other readers see its JSON.
    const result = await this.publish('orders.events', event);

    this.logger.info('published', { msgId: result.msgId });
    return result;
  }
}

/** Has a subscription to orders.events in hence.yaml. */
export class SubscriberService extends Service<OrderEvent> {
  static io = { input: OrderEvent };

  handle() {
    // Where someone else published plain JSON, `input` has made an OrderEvent of it.
    const event = this.request.input;

    this.logger.info(`Order: ${event.order_id}`);
    this.logger.info(`Status: ${event.status}`);
    this.logger.info(`Amount: ${event.amount}`);
  }
}
