import { Service } from 'hence';

// Four ways to publish to demo.1: try `npx hence invoke publish.plain`.

/** Topic and data; everything else is generated. */
export class Plain extends Service {
  async handle() {
    const topic = 'demo.1';
    const data = {
      order_id: 12345,
      status: 'completed',
    };

    const result = await this.publish(topic, data);

    this.logger.info('published', { msgId: result.msgId });
    return result;
  }
}

/** The same with metadata of its own: `npx hence why` follows the cid. */
export class WithMetadata extends Service {
  async handle() {
    const topic = 'demo.1';
    const data = {
      order_id: 12345,
      status: 'completed',
    };
    const priority = 7;
    const expiration = 3_600;

    const result = await this.publish(topic, data, { cid: this.cid, priority, expiration });

    this.logger.info('published', { msgId: result.msgId });
    return result;
  }
}

/** Payload fields directly: the subscriber gets `{ order_id: 123, status: 'pending' }`. */
export class Inline extends Service {
  async handle() {
    const result = await this.publish({ topic: 'demo.1', order_id: 123, status: 'pending' });

    this.logger.info('published', { msgId: result.msgId });
    return result;
  }
}

/** Mixed: priority and expiration are metadata, order_id and status are the payload. */
export class Mixed extends Service {
  async handle() {
    const result = await this.publish({
      topic: 'demo.1',
      order_id: 123,
      status: 'pending',
      priority: 7,
      expiration: 3_600,
    });

    this.logger.info('published', { msgId: result.msgId });
    return result;
  }
}
