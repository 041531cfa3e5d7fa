import { connect, type Socket } from 'node:net';
import process from 'node:process';

export interface SocketOrder {
  readonly port: number;
  readonly connections: number;
  /** Frames that each connection has under way. */
  readonly ahead: number;
  readonly ms: number;
}

export interface SocketAnswer {
  readonly done: number;
  readonly ms: number;
  /** Answers that were wrong and connections that broke; the first few in words. */
  readonly failed: number;
  readonly examples: readonly string[];
}

/*
 * A client that costs less than the server it loads: plain sockets, its frame made once.
 */

const data = {
  order: 123_456,
  name: 'Zażółć',
  lines: [
    { sku: 'a-1', count: 2 },
    { sku: 'b-2', count: 7 },
  ],
};
const expected = JSON.stringify(data);

class Run {
  readonly #order: SocketOrder;
  #until = 0;
  #done = 0;
  #failed = 0;
  readonly #examples: string[] = [];

  constructor(order: SocketOrder) {
    this.#order = order;
  }

  async finish(): Promise<SocketAnswer> {
    const all = Array.from({ length: this.#order.connections }, () => this.#open());
    const open = await Promise.all(all);
    const startedAt = performance.now();
    this.#until = startedAt + this.#order.ms;
    await Promise.all(open.map((one) => this.#load(one)));
    const ms = performance.now() - startedAt;
    return { done: this.#done, ms, failed: this.#failed, examples: this.#examples };
  }

  /** Logs in; what a server that knows no logins answers has no token, and none is needed there. */
  async #open(): Promise<Opened> {
    const socket = connect(this.#order.port, '127.0.0.1');
    socket.setNoDelay(true);
    const frames = new Frames(socket);
    socket.write(handshake);
    await frames.upgraded;
    socket.write(frameOf({ meta: { ...common, action: 'create-session' }, data: {} }));
    const { data: got } = JSON.parse(await frames.next()) as { data?: { token?: string } };
    const meta = { ...common, action: 'invoke-service', token: got?.token ?? 'none' };
    return { socket, frames, frame: frameOf({ meta, data }) };
  }

  #load({ socket, frames, frame }: Opened): Promise<void> {
    return new Promise((resolve) => {
      let under = this.#order.ahead;
      frames.each = (text) => {
        this.#judge(text);
        if (performance.now() < this.#until) socket.write(frame);
        else if (--under === 0) socket.destroy();
      };
      socket.on('error', (error) => this.#fail(error.message));
      socket.on('close', () => {
        if (performance.now() < this.#until) this.#fail('The connection closed');
        resolve();
      });
      for (let at = 0; at < this.#order.ahead; at++) socket.write(frame);
    });
  }

  #judge(text: string): void {
    this.#done++;
    if (text.includes('"zwsx.rspok"') && text.includes(expected)) return;
    this.#fail(text);
  }

  #fail(example: string): void {
    this.#failed++;
    if (this.#examples.length < 3) this.#examples.push(example.slice(0, 400));
  }
}

interface Opened {
  readonly socket: Socket;
  readonly frames: Frames;
  readonly frame: Buffer;
}

/** The text frames that a server sends. */
class Frames {
  readonly upgraded: Promise<void>;
  each: (text: string) => void = (text) => this.#got(text);
  #got: (text: string) => void = () => {};
  #bytes: Buffer = Buffer.alloc(0);
  #upgraded = false;

  constructor(socket: Socket) {
    this.upgraded = new Promise((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
        if (!this.#upgraded) this.#takeHead(resolve);
        if (this.#upgraded) this.#takeFrames();
      });
    });
  }

  next(): Promise<string> {
    return new Promise((resolve) => {
      this.#got = resolve;
    });
  }

  #takeHead(upgraded: () => void): void {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return;
    this.#bytes = this.#bytes.subarray(end + 4);
    this.#upgraded = true;
    upgraded();
  }

  #takeFrames(): void {
    let bytes = this.#bytes;
    while (bytes.length >= 4) {
      const short = bytes[1] ?? 0;
      const start = short === 126 ? 4 : 2;
      const length = short === 126 ? bytes.readUInt16BE(2) : short;
      if (bytes.length < start + length) break;
      const text = bytes.toString('utf8', start, start + length);
      bytes = bytes.subarray(start + length);
      this.each(text);
    }
    this.#bytes = bytes;
  }
}

const common = { id: 'zwsxc.inv.1', timestamp: '2023-01-01T00:00:00.000000', client_id: 'bench' };
const handshake = [
  'GET /ws HTTP/1.1',
  'Host: 127.0.0.1',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
  '\r\n',
].join('\r\n');

/** Masked with zeros: the server unmasks all the same. */
function frameOf(value: unknown): Buffer {
  const payload = Buffer.from(JSON.stringify(value));
  const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

process.on('message', (order: SocketOrder) => {
  void new Run(order).finish().then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
