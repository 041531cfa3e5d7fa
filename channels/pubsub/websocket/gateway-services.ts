import { Fault } from '../../../runtime/core/fault.ts';
import { sliceOfKey } from '../../../runtime/core/json-slices.ts';
import { zato3Id } from '../../../runtime/pubsub/message-id.ts';
import type { WsxPubSubPort } from '../../../runtime/service/pubsub-ports.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import type { EndpointBrokerPort, GatewayRequest, GatewayService } from './ports.ts';

export interface GatewayServicesOptions {
  readonly wsx: WsxPubSubPort & {
    unsubscribe(session: WsxSession, subKey: string): Promise<void>;
    keyOf(session: WsxSession, topic: string): string | undefined;
  };
  readonly endpointBroker: Pick<EndpointBrokerPort, 'publish'>;
  /** @throws Fault `forbidden` */
  readonly endpointOf: (session: WsxSession) => string;
}

type Fields = Readonly<Record<string, unknown>>;

const jsonType = 'application/json';
const maxTextLength = 2_000;
const maxTypeLength = 255;

/** Zato 3.2's services for clients of a gateway, in its own names and fields. */
export function gatewayServices({
  wsx,
  endpointBroker,
  endpointOf,
}: GatewayServicesOptions): Readonly<Record<string, GatewayService>> {
  return {
    'zato.pubsub.pubapi.publish-message': async (asked) => {
      const endpoint = endpointOf(asked.session);
      const { msgId } = await endpointBroker.publish(publicationOf(asked), endpoint);
      return { msg_id: zato3Id(msgId) };
    },
    'zato.pubsub.pubapi.subscribe-wsx': async ({ session, request }) => {
      const fields = fieldsOf(request);
      const ack = ackOf(fields);
      const subKey = await wsx.subscribe(session, needed(fields, 'topic_name'), {
        unsubOnClose: flag(fields, 'unsub_on_wsx_close', true),
        ...(ack === undefined ? {} : { ack }),
      });
      return { sub_key: subKey };
    },
    'zato.pubsub.pubapi.unsubscribe': async ({ session, request }) => {
      const fields = fieldsOf(request);
      const topic = text(fields, 'topic_name');
      const subKey = topic === undefined ? needed(fields, 'sub_key') : wsx.keyOf(session, topic);
      // Zato 3.2 does not mind what is not subscribed to.
      if (subKey !== undefined) await wsx.unsubscribe(session, subKey);
      return {};
    },
    'zato.pubsub.resume-wsx-subscription': async ({ session, request }) => {
      await wsx.resume(session, needed(fieldsOf(request), 'sub_key'));
      return {};
    },
  };
}

function publicationOf({ cid, session, request, text: json }: GatewayRequest) {
  const fields = fieldsOf(request);
  const topic = needed(fields, 'topic_name');
  const correlId = text(fields, 'correl_id');
  const inReplyTo = text(fields, 'in_reply_to');
  const extClientId = text(fields, 'ext_client_id');
  return {
    topic,
    ...dataOf(fields, json ?? ''),
    cid,
    priority: fields['priority'],
    expiration: fields['expiration'],
    ...(session.security === undefined ? {} : { publisher: session.security }),
    ...(correlId === undefined ? {} : { correlId }),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(extClientId === undefined ? {} : { extClientId }),
  };
}

/** A string of another type than JSON is that type's text; anything else is JSON, exactly as it was sent. */
function dataOf(fields: Fields, json: string) {
  const { data } = fields;
  const contentType = text(fields, 'mime_type', maxTypeLength) ?? jsonType;
  if (data === undefined || data === null || data === '') {
    throw new Fault('bad-request', 'There is no data');
  }
  if (typeof data === 'string' && contentType !== jsonType) return { data, contentType };
  const slice = sliceOfKey(json, 'data');
  if (!slice) throw new Fault('bad-request', 'There is no data');
  return { data: json.slice(slice.start, slice.end), contentType: jsonType };
}

function fieldsOf(request: unknown): Fields {
  if (typeof request === 'object' && request !== null && !Array.isArray(request)) {
    return request as Fields;
  }
  throw new Fault('bad-request', 'The request is not an object');
}

function needed(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (value !== undefined) return value;
  throw new Fault('bad-request', `There is no ${name}`);
}

function text(fields: Fields, name: string, maxLength = maxTextLength): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'object') throw new Fault('bad-request', `${name} must be a string`);
  const given = String(value);
  if (given.length <= maxLength) return given;
  throw new Fault('bad-request', `${name} is longer than ${maxLength} characters`);
}

function flag(fields: Fields, name: string, otherwise: boolean): boolean {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return otherwise;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Fault('bad-request', `${name} must be true or false`);
}

function ackOf(fields: Fields): 'client' | undefined {
  const ack = text(fields, 'ack');
  if (ack === undefined || ack === 'sent') return undefined;
  if (ack === 'client') return ack;
  throw new Fault('bad-request', 'ack must be client or sent');
}
