/** The parts a message id is made of: enough to find the message, and to know a forged id. */
export interface MessageKey {
  /** µs since 1970 by Redis' clock. */
  readonly receivedUs: number;
  /** 16 bits that each publishing process draws for itself. */
  readonly salt: number;
  readonly seq: number;
}

const zato4 = /^zpsm\.(\d{8})-(\d{6})-(\d{4})-([0-9a-f]{4})([0-9a-f]{12})f$/;
/** Second of receipt, salt, seq. */
const zato3 = /^zpsm([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{12})$/;
const zato2 = /^K[0-9A-HJKMNP-TV-Z]{27}$/;

/** `zpsm.YYYYMMDD-HHMMSS-ssss-<16 hex>f`, ssss in 100 µs, UTC (Zato 4.x); the hex is salt and seq. */
export function messageId({ receivedUs, salt, seq }: MessageKey): string {
  const part = String(Math.floor((receivedUs % 1_000_000) / 100)).padStart(4, '0');
  const hex = salt.toString(16).padStart(4, '0') + seq.toString(16).padStart(12, '0');
  return `zpsm.${timeOf(Math.floor(receivedUs / 1_000_000))}-${part}-${hex}f`;
}

/** The last second that was asked for: most messages that come together share it. */
let known = { second: Number.NaN, text: '' };

function timeOf(second: number): string {
  if (known.second !== second) {
    const date = new Date(second * 1_000).toISOString();
    const day = date.slice(0, 4) + date.slice(5, 7) + date.slice(8, 10);
    const time = date.slice(11, 13) + date.slice(14, 16) + date.slice(17, 19);
    known = { second, text: `${day}-${time}` };
  }
  return known.text;
}

/** The same id as Zato 3.x writes it, `zpsm<24 hex>`: the second of receipt, salt and seq. */
export function zato3Id(msgId: string): string {
  const match = zato4.exec(msgId);
  if (!match) return msgId;
  const [, day = '', time = '', , salt = '', seq = ''] = match;
  const date = `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
  const clock = `${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4)}`;
  const second = Date.parse(`${date}T${clock}Z`) / 1_000;
  return `zpsm${second.toString(16).padStart(8, '0')}${salt}${seq}`;
}

/** The digits of Crockford's base 32: no letter that could be read as a number. */
const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const zato2Bits = 135;
const keyBits = 96;
/** Each the other's inverse modulo 2^135: spread over all 27 digits, what is no id is hardly ever taken for one. */
const spread = 0x5213ba2ff23a085071aa0f7b9dad122e6dn;
const gather = 0x4aa0426676a26b7561f889fcabc6090b65n;

/** The same id as Zato 2.0 writes it, `K` and 27 digits of base 32. */
export function zato2Id(msgId: string): string {
  const id = zato3Id(msgId);
  if (!zato3.test(id)) return msgId;
  let rest = BigInt.asUintN(zato2Bits, BigInt(`0x${id.slice(4)}`) * spread);
  let text = '';
  for (let n = 0; n < zato2Bits / 5; n++, rest >>= 5n) text = digits[Number(rest & 31n)] + text;
  return `K${text}`;
}

/** From 2.0's writing of an id to 3.x's; undefined for what is none. */
function zato3OfZato2(id: string): string | undefined {
  if (!zato2.test(id)) return undefined;
  let value = 0n;
  for (const digit of id.slice(1)) value = value * 32n + BigInt(digits.indexOf(digit));
  const key = BigInt.asUintN(zato2Bits, value * gather);
  return key >> BigInt(keyBits) === 0n ? `zpsm${key.toString(16).padStart(24, '0')}` : undefined;
}

/** The publish sequence in an id of any door; undefined for what is no message id. */
export function seqOf(id: string): number | undefined {
  const seq = zato4.exec(id)?.[5] ?? zato3.exec(zato3OfZato2(id) ?? id)?.[3];
  return seq === undefined ? undefined : Number.parseInt(seq, 16);
}

/** Whether an id of any door is this message's: two may share a seq when Redis was emptied between. */
export function isIdOf(id: string, msgId: string): boolean {
  if (id === msgId) return true;
  const short = zato3OfZato2(id) ?? id;
  return zato3.test(short) && zato3Id(msgId) === short;
}

/** For people: what a publisher's own id may be. */
export const givenIdRule = '1 to 200 visible ASCII characters, but no " and no \\';

/** Nothing in it is escaped in JSON, so that a script finds it in the meta of a message. */
export function isGivenId(text: string): boolean {
  return /^[!#-[\]-~]{1,200}$/.test(text);
}
