import { Fault } from '../../runtime/core/fault.ts';
import { parseJson } from '../../runtime/core/json.ts';
import { sliceOfKey } from '../../runtime/core/json-slices.ts';

type Action = 'create-session' | 'invoke-service' | 'client-response';

type Bag = Readonly<Record<string, unknown>>;

/** A frame of a client, its envelope checked. */
export interface ClientFrame {
  readonly action: Action;
  readonly id: string;
  readonly token: string | undefined;
  readonly inReplyTo: string | undefined;
  readonly data: unknown;
  readonly meta: Bag;
  /** As it came. */
  readonly text: string;
}

/** What a client says of itself when it logs in. */
export interface Introduction {
  readonly clientId: string;
  readonly clientName: string;
  readonly attrs: Readonly<Record<string, string>>;
}

const maxIdLength = 255;
const maxAttrs = 100;
const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?$/;

/** @throws Fault `bad-request` saying what is wrong with the frame. */
export function parseFrame(text: string): ClientFrame {
  const frame = parseJson(text, 'Frame');
  if (!isBag(frame)) throw refusal('Frame is not an object');
  const meta = frame['meta'];
  if (!isBag(meta)) throw refusal('Frame has no meta');
  const { id, timestamp, action, token, in_reply_to: inReplyTo } = meta as FrameMeta;
  if (typeof id !== 'string' || id === '' || id.length > maxIdLength) {
    throw refusal(`Frame has no meta.id: 1-${maxIdLength} characters`);
  }
  if (typeof timestamp !== 'string' || !iso.test(timestamp)) {
    throw refusal('Frame has no meta.timestamp: YYYY-MM-DDTHH:MM:SS.ffffff');
  }
  return {
    action: actionOf(action),
    id,
    token: typeof token === 'string' ? token : undefined,
    inReplyTo: typeof inReplyTo === 'string' ? inReplyTo : undefined,
    data: frame['data'],
    meta,
    text,
  };
}

interface FrameMeta {
  readonly id?: unknown;
  readonly timestamp?: unknown;
  readonly action?: unknown;
  readonly token?: unknown;
  readonly in_reply_to?: unknown;
}

/** The exact JSON text of `data`; undefined when there is none. */
export function dataText({ text }: Pick<ClientFrame, 'text'>): string | undefined {
  return textOfKey(text, 'data');
}

/** The exact JSON text at a key of a JSON object. */
export function textOfKey(text: string, key: string): string | undefined {
  const slice = sliceOfKey(text, key);
  return slice && text.slice(slice.start, slice.end);
}

/** @throws Fault `bad-request` */
export function introductionOf({ meta }: Pick<ClientFrame, 'meta'>): Introduction {
  return {
    clientId: shortText(meta['client_id'], 'client_id'),
    clientName: nameOf(meta['client_name']),
    attrs: attrsOf(meta['attrs']),
  };
}

function actionOf(action: unknown): Action {
  switch (action) {
    case 'invoke-service':
    case 'create-session':
    case 'client-response':
      return action;
    case undefined:
    case null:
    case '':
      return 'client-response';
    default:
      throw refusal('Frame has an unknown meta.action');
  }
}

function nameOf(name: unknown): string {
  if (!isBag(name)) return shortText(name, 'client_name');
  const pairs = Object.entries(name).map(([key, value]) => `${key}: ${String(value)}`);
  return shortText(pairs.sort().join('; '), 'client_name');
}

function shortText(value: unknown, key: string): string {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text === 'string' && text.length <= maxIdLength) return text;
  throw refusal(`meta.${key} is not a text of up to ${maxIdLength} characters`);
}

/** `k=v` lines, one text or a list of them, or an object. */
function attrsOf(attrs: unknown): Readonly<Record<string, string>> {
  const entries = isBag(attrs) ? Object.entries(attrs) : linesOf(attrs).map(pairOf);
  if (entries.length > maxAttrs) throw refusal(`meta.attrs has more than ${maxAttrs} attributes`);
  return Object.freeze(
    Object.fromEntries(entries.map(([key, value]) => [key, shortText(value, `attrs.${key}`)])),
  );
}

function linesOf(attrs: unknown): readonly string[] {
  if (attrs === undefined || attrs === null) return [];
  const lines = Array.isArray(attrs) ? attrs : [attrs];
  return lines.flatMap((line: unknown) => {
    if (typeof line !== 'string')
      throw refusal('meta.attrs is not an object or lines of key=value');
    return line.split('\n').filter((each) => each.trim() !== '');
  });
}

function pairOf(line: string): [string, string] {
  const at = line.indexOf('=');
  if (at < 1) throw refusal('meta.attrs has a line that is not key=value');
  const key = line.slice(0, at).trim();
  if (key === '__proto__') throw refusal('meta.attrs has the key __proto__');
  return [key, line.slice(at + 1).trim()];
}

function isBag(value: unknown): value is Bag {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refusal(sentence: string): Fault {
  return new Fault('bad-request', sentence);
}
