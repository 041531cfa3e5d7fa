import { Service } from 'hence';

// Publish/subscribe as Zato 3.x has it: try `npx hence invoke zato3.publish-sample`.

export class PublishSample extends Service {
  async handle() {
    // Prepare input
    const topicName = '/zato/demo/sample';
    const data = 'My data';
    const priority = 9;

    // Publish the message
    const msgId = await this.pubsub.publish(topicName, { data, priority });

    // Log the message ID received
    this.logger.info(`Message ID is \`${msgId}\``);
    return { msg_id: msgId };
  }
}

/** Subscribes an endpoint that is not a WebSocket's. */
export class SubscribeEndpoint extends Service {
  async handle() {
    // Prepare input
    const topicName = '/zato/demo/sample';
    const endpointName = 'My REST Endpoint';

    // Subscribe an explicitly named endpoint..
    const subKey = await this.pubsub.subscribe(topicName, { endpointName });

    // .. and log the subscription key received.
    this.logger.info(`Received sub_key \`${subKey}\``);
    return { sub_key: subKey };
  }
}

/** Subscribes the WebSocket client that calls. */
export class SubscribeWebSocket extends Service {
  async handle() {
    // Prepare input
    const topicName = '/zato/demo/sample';

    // Subscribe current WebSocket ..
    const subKey = await this.pubsub.subscribe(topicName, { useCurrentWsx: true, service: this });

    // .. and log the subscription key received.
    this.logger.info(`Received sub_key \`${subKey}\``);
    return { sub_key: subKey };
  }
}

/** Takes all that waits in a queue: `npx hence invoke zato3.get-messages -d '{"sub_key": "zpsk.rest...."}'`. */
export class GetMessages extends Service<{ sub_key: string }> {
  static io = { input: ['sub_key'] };

  async handle() {
    // Prepare input
    const topicName = '/zato/demo/sample';
    const subKey = this.request.input.sub_key;

    // Get all messages available ..
    const messages = await this.pubsub.getMessages(topicName, subKey);

    // .. and log them all.
    this.logger.info(`Messages \`${JSON.stringify(messages, null, 2)}\``);
    return messages;
  }
}

/** A WebSocket client that connected again goes on where it was. */
export class ResumeWsxSubscription extends Service<{ sub_key: string }> {
  static io = { input: ['sub_key'] };

  async handle() {
    // Prepare input
    const subKey = this.request.input.sub_key;

    // Resume delivery for that key,
    // if there is no exception, it means that everything went fine
    await this.pubsub.resumeWsxSubscription(subKey, this);
  }
}
