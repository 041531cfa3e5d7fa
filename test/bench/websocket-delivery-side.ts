import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { setImmediate as breathe } from 'node:timers/promises';
import { WebSocketServer as BareServer, type WebSocket } from 'ws';
import { WsxPubSub } from '../../channels/pubsub/websocket/wsx-pubsub.ts';
import { webSocketType } from '../../channels/websocket/definition.ts';
import { WebSocketServer } from '../../channels/websocket/websocket-server.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import { Authenticator } from '../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';
import { gather } from '../support/parties.ts';

/*
 * One side of the comparison in a process of its own: `ours` delivers from queues that were filled before, `bare` sends
 * the same messages with ws alone. Arguments: which, the socket of Redis.
 */

export interface DeliveryOrder {
  readonly what: 'fill' | 'deliver' | 'clear';
  /** For each socket. */
  readonly messages: number;
}

const topic = '/bench';
const [, , side, path = ''] = process.argv;
const silent: Logger = {
  debugging: false,
  debug() {},
  info() {},
  warn: (message, facts) => console.error(message, facts),
  error: (message, facts) => console.error(message, facts),
  child: () => silent,
};
const http = createServer();

async function ours(): Promise<(order: DeliveryOrder) => Promise<void>> {
  const endpoints = { bench: { publish: [topic], subscribe: [topic] } };
  const namespace = `bench${process.pid}`;
  const topics = { [topic]: { enabled: true } };
  const parties = await gather({ path }, { endpoints, topics }, namespace);
  const { broker, redis } = parties.broker;
  const door = new WsxPubSub({ ...parties, broker, redis, namespace, log: silent });
  const sessions: WsxSession[] = [];
  const sockets = new WebSocketServer({
    invoke: async () => ({ payload: null, statusCode: 200, headers: {}, contentType: undefined }),
    authenticator: new Authenticator(new PasswordHasher()),
    log: silent,
    hooks: { opened: (session) => sessions.push(session) },
  });
  const given = { type: 'websocket', path: '/ws', gateway: true };
  sockets.update([{ name: 'bench', spec: webSocketType().schema.parse(given) }]);
  sockets.attach(http);
  door.start();
  let keys: string[] = [];
  const fill = async (messages: number) => {
    keys = sessions.map((_, n) => `zpsk.websockets.bench${n}`);
    const facts = { kind: 'websocket', unsub: 'false' };
    for (const subKey of keys) {
      await parties.endpointBroker.subscribe(topic, 'bench', { subKey, facts });
    }
    for (let n = 0; n < messages; n++) {
      await broker.publish({ topic, data: JSON.stringify(dataOf(n)), cid: 'bench' });
    }
  };
  const clear = async () => {
    for (const session of sessions.splice(0)) session.close(1000, 'Done');
    for (const subKey of keys) await broker.unsubscribe(subKey);
  };
  return async ({ what, messages }) => {
    if (what === 'fill') await fill(messages);
    else if (what === 'clear') await clear();
    else await Promise.all(sessions.map((session, n) => door.resume(session, keys[n] ?? '')));
  };
}

function bare(): (order: DeliveryOrder) => Promise<void> {
  const server = new BareServer({ server: http, perMessageDeflate: false });
  const sockets: WebSocket[] = [];
  server.on('connection', (socket) => {
    socket.once('message', () => socket.send('{"data":{"token":""}}'));
    sockets.push(socket);
  });
  return async ({ what, messages }) => {
    if (what === 'clear') for (const socket of sockets.splice(0)) socket.close();
    if (what !== 'deliver') return;
    for (let n = 0; n < messages; n++) {
      for (const [at, socket] of sockets.entries()) {
        const timestamp = `${new Date().toISOString().slice(0, -1)}000`;
        const meta = { id: `zpsm${n}`, timestamp, msg_type: 'zwsx.psrq' };
        socket.send(JSON.stringify({ meta, data: itemOf(n, at) }));
      }
      await breathe();
    }
  };
}

function dataOf(n: number) {
  return { order: n, name: 'Zażółć', lines: [{ sku: 'a-1', count: 2 }] };
}

/** What our side says of a message. */
function itemOf(n: number, at: number) {
  const now = `${new Date().toISOString().slice(0, -1)}000`;
  return {
    data: dataOf(n),
    msg_id: `zpsm${String(n).padStart(24, '0')}`,
    topic_name: topic,
    sub_key: `zpsk.websockets.bench${at}`,
    delivery_count: 1,
    priority: 5,
    expiration: 31_536_000,
    expiration_time_iso: now,
    pub_time_iso: now,
    recv_time_iso: now,
    mime_type: 'application/json',
    size: 74,
  };
}

const obey = side === 'bare' ? bare() : await ours();
process.on('message', (order: DeliveryOrder) => {
  void obey(order).then(() => process.send?.('done'));
});
process.on('disconnect', () => process.exit(0));
http.listen(0, '127.0.0.1');
await once(http, 'listening');
process.send?.((http.address() as AddressInfo).port);
