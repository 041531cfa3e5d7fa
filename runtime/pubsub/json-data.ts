import { isUtf8 } from 'node:buffer';
import type { Message } from './message.ts';

type Data = Pick<Message, 'contentType' | 'data'>;

export function isJson(contentType: string): boolean {
  return /^application\/json\b/i.test(contentType);
}

/** The JSON of a message's data: text that is not JSON is a string, and so are other bytes, in base64. */
export function jsonData({ contentType, data }: Data): Buffer {
  if (isJson(contentType)) return data;
  return Buffer.from(JSON.stringify(data.toString(isUtf8(data) ? 'utf8' : 'base64')));
}
