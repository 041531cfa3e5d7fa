import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { WebSocketServer as BareServer } from 'ws';
import { webSocketType } from '../../channels/websocket/definition.ts';
import { WebSocketServer } from '../../channels/websocket/websocket-server.ts';
import { Service } from '../../runtime/index.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import { Authenticator } from '../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import type { Ports } from '../../runtime/service/ports.ts';
import { Registry } from '../../runtime/service/registry.ts';
import type { ServiceClass } from '../../runtime/service/service-class.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';

/*
 * One side of the comparison in a process of its own: `ours` serves a WebSocket channel whose service
 * answers with its input, `bare` is ws alone doing the same JSON work. It tells its parent its port.
 */

class Echo extends Service {
  handle(): unknown {
    return this.request.input;
  }
}

const silent: Logger = {
  debugging: false,
  debug() {},
  info() {},
  warn() {},
  error: (message, facts) => console.error(message, facts),
  child: () => silent,
};

function ours(server: Server): void {
  const registry = new Registry({ log: silent } as Ports);
  const version = new ServiceVersion({
    ...{ name: 'bench.echo', file: 'bench.ts', path: 'bench.ts', version: 1, hash: 'b' },
    ServiceClass: Echo as unknown as ServiceClass,
    dispose: () => {},
  });
  registry.replace('bench.ts', [version]);
  const sockets = new WebSocketServer({
    invoke: (call) => registry.invoke(call),
    authenticator: new Authenticator(new PasswordHasher()),
    log: silent,
  });
  const given = { type: 'websocket', path: '/ws', service: 'bench.echo' };
  sockets.update([{ name: 'bench', spec: webSocketType().schema.parse(given) }]);
  sockets.attach(server);
}

interface BareFrame {
  readonly meta: { readonly id: string };
  readonly data: unknown;
}

function bare(server: Server): void {
  const sockets = new BareServer({ server, perMessageDeflate: false });
  let count = 0;
  sockets.on('connection', (socket) => {
    socket.on('message', (bytes) => {
      const { meta, data } = JSON.parse(String(bytes)) as BareFrame;
      const answer = {
        id: `bare-${++count}`,
        timestamp: new Date().toISOString(),
        msg_type: 'zwsx.rspok',
        status: 200,
        in_reply_to: meta.id,
      };
      socket.send(JSON.stringify({ meta: answer, data }));
    });
  });
}

const listening = createServer();
if (process.argv[2] === 'bare') bare(listening);
else ours(listening);
listening.listen(0, '127.0.0.1', () => {
  process.send?.((listening.address() as AddressInfo).port);
});
process.on('disconnect', () => process.exit(0));
