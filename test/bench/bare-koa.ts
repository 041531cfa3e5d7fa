import type { AddressInfo } from 'node:net';
import process from 'node:process';
import Koa from 'koa';
import getRawBody from 'raw-body';

/*
 * What a channel is compared with: the same body read and parsed, the same reply, and nothing else.
 * It tells its parent its port.
 */

const app = new Koa();

app.use(async (context) => {
  const body = await getRawBody(context.req, {
    length: context.req.headers['content-length'] ?? null,
    limit: '1mb',
    encoding: 'utf8',
  });
  const { user } = JSON.parse(body) as { user: string };
  context.body = { status: 1, request: user };
});

const server = app.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on('disconnect', () => process.exit(0));
