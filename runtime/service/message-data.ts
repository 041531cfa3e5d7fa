import { Fault } from '../core/fault.ts';
import { parseJson } from '../core/json.ts';
import { jsonText } from './json-value.ts';
import { checkModel, Model } from './model.ts';

/** Data as a message carries it. */
export interface EncodedData {
  /** Text stands for its UTF-8, which costs less than making the bytes here. */
  readonly data: Buffer | string;
  /** `application/json`, or `application/octet-stream` for bytes. */
  readonly contentType: string;
  /** The Model class it is an instance of. */
  readonly dataClass?: string;
}

/** Makes an instance of a Model class from its JSON, as `service` sees the class. */
export type ReviveModel = (dataClass: string, value: unknown, service: string) => unknown;

const jsonType = 'application/json';
const bytesType = 'application/octet-stream';

/**
 * @param where what it is published to, for messages
 * @param modelName of a Model class; undefined when it is not exported
 * @throws Fault `bad-request` naming the place of what cannot be published.
 */
export function encodeData(
  value: unknown,
  where: string,
  modelName: (Class: object) => string | undefined,
): EncodedData {
  const what = `Publishing to ${where}: data`;
  if (value instanceof Uint8Array) return { data: Buffer.from(value), contentType: bytesType };
  if (!(value instanceof Model)) {
    return { data: jsonText(value, what), contentType: jsonType };
  }
  const dataClass = modelName(value.constructor);
  if (dataClass === undefined) {
    throw new Fault(
      'bad-request',
      `${what} is a Model whose class ${value.constructor.name} is not exported from its file, so that no subscriber could rebuild it: export the class, or publish its toDict()`,
    );
  }
  checkModel(value);
  return { data: value.toJson(), contentType: jsonType, dataClass };
}

/**
 * What a subscribing service gets: a Model's instance, the value of JSON (text for JSON text), text
 * for `text/...`, else the bytes.
 * @throws Fault `bad-request` for JSON that is none, and what `revive` throws.
 */
export function decodeData(
  { data, contentType, dataClass }: EncodedData,
  what: string,
  revive: (dataClass: string, value: unknown) => unknown,
): unknown {
  if (/^text\//i.test(contentType)) return data.toString();
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) return data;
  const value = parseJson(data.toString(), what);
  return dataClass ? revive(dataClass, value) : value;
}
