import { once } from 'node:events';
import process from 'node:process';
import { WebSocket } from 'ws';

export interface ReadersOrder {
  readonly what: 'open' | 'read';
  readonly port: number;
  readonly sockets: number;
  /** For each socket. */
  readonly messages: number;
}

/*
 * Clients that only count the messages they get. `open` answers when all are logged in, `read` when all have all their
 * messages, with what was wrong.
 */

const mark = '"msg_id":"';
let counts: number[] = [];
let missing = 0;
let complete: () => void = () => {};

async function open({ port, sockets, messages }: ReadersOrder): Promise<void> {
  counts = Array.from({ length: sockets }, () => 0);
  missing = sockets * messages;
  await Promise.all(counts.map((_, at) => login(port, at)));
}

async function login(port: number, at: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false });
  await once(socket, 'open');
  const meta = { action: 'create-session', id: '1', timestamp: '2023-01-01T00:00:00.000000' };
  socket.send(JSON.stringify({ meta, data: {} }));
  await once(socket, 'message');
  socket.on('message', (data) => count(data as Buffer, at));
}

function count(bytes: Buffer, at: number): void {
  let found = 0;
  for (let from = bytes.indexOf(mark); from >= 0; from = bytes.indexOf(mark, from + 1)) found++;
  counts[at] = (counts[at] ?? 0) + found;
  missing -= found;
  if (missing <= 0) complete();
}

async function read({ messages }: ReadersOrder): Promise<number> {
  if (missing > 0) {
    await new Promise<void>((resolve) => {
      complete = resolve;
    });
  }
  return counts.filter((each) => each !== messages).length;
}

process.on('message', (order: ReadersOrder) => {
  const done = order.what === 'open' ? open(order).then(() => 0) : read(order);
  void done.then((wrong) => process.send?.(wrong));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
