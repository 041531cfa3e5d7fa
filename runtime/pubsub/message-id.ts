/** The parts a message id is made of: enough to find the message, and to know a forged id. */
export interface MessageKey {
  /** µs since 1970 by Redis' clock. */
  readonly receivedUs: number;
  /** 16 bits that each publishing process draws for itself. */
  readonly salt: number;
  readonly seq: number;
}

const pattern = /^zpsm\.\d{8}-\d{6}-\d{4}-[0-9a-f]{4}([0-9a-f]{12})f$/;

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

/** The publish sequence in an id; undefined for what is no message id. */
export function seqOf(msgId: string): number | undefined {
  const match = pattern.exec(msgId);
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}
