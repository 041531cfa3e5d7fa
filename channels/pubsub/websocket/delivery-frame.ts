import { newCid } from '../../../runtime/core/cid.ts';
import type { Delivery, Message } from '../../../runtime/pubsub/message.ts';
import { zato3Id } from '../../../runtime/pubsub/message-id.ts';
import { zato3Facts, zato3JsonIn } from '../../../runtime/pubsub/zato3-message.ts';

export interface DeliveryFrame {
  /** Of one message its own id; else a new one. */
  readonly id: string;
  /** Of the messages, in their order. */
  readonly ids: readonly string[];
  readonly text: string;
}

interface Written {
  readonly id: string;
  readonly facts: string;
}

const maxRemembered = 1_000;
/** Of those that are remembered: what is larger costs more to keep than to write again. */
const maxLength = 4_096;

/** Writes messages as frames. A message often goes to many subscribers: what was written is remembered a while. */
export class FrameWriter {
  readonly #known = new Map<string, Written>();

  /** `zwsx.psrq` of Zato 3.2: one message is the frame's data itself, several are a list. */
  write(deliveries: readonly Delivery[]): DeliveryFrame {
    const written = deliveries.map(({ message }) => this.#written(message));
    const ids = written.map((one) => one.id);
    const alone = ids.length === 1;
    const id = (alone ? ids[0] : undefined) ?? newCid();
    let messages = '';
    for (const [at, delivery] of deliveries.entries()) {
      const json = zato3JsonIn(written[at]?.facts ?? '', delivery);
      messages += at === 0 ? json : `,${json}`;
    }
    const timestamp = `${new Date().toISOString().slice(0, -1)}000`;
    const meta = `{"id":"${id}","timestamp":"${timestamp}","msg_type":"zwsx.psrq"}`;
    return { id, ids, text: `{"meta":${meta},"data":${alone ? messages : `[${messages}]`}}` };
  }

  #written(message: Message): Written {
    const known = this.#known.get(message.msgId);
    if (known) return known;
    const written = { id: zato3Id(message.msgId), facts: zato3Facts(message) };
    if (written.facts.length > maxLength) return written;
    if (this.#known.size >= maxRemembered) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.set(message.msgId, written);
    return written;
  }
}
