import { Fault } from '../../runtime/core/fault.ts';
import { isName } from '../../runtime/core/name.ts';
import type { WebSocketChannel } from './channel.ts';
import { type ClientFrame, dataText, textOfKey } from './client-frame.ts';
import type { Wish } from './wsx-call.ts';

/**
 * What a frame asks of a channel: its one service, or through a gateway the one that it names.
 * @throws Fault `bad-request`, `forbidden`
 */
export function wishOf({ service, allows }: WebSocketChannel, frame: ClientFrame): Wish {
  if (service !== undefined) return { service, input: frame.data, text: dataText(frame) };
  const { data } = frame;
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new Fault('bad-request', 'A gateway takes data with service and request');
  }
  const { service: named, request } = data as { readonly service?: unknown; request?: unknown };
  if (!isName(named))
    throw new Fault('bad-request', 'A gateway takes data with service and request');
  if (!allows(named)) {
    throw new Fault('forbidden', 'You are not allowed to access this resource');
  }
  const text = request === undefined ? undefined : textOfKey(dataText(frame) ?? '', 'request');
  return { service: named, input: request, text };
}
