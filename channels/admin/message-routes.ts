import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Admin } from '../../runtime/admin/admin.ts';
import { messageJson } from '../../runtime/admin/message-views.ts';
import { cidFrom } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { sliceOfKey } from '../../runtime/core/json-slices.ts';
import { checkAs, readAs, readText } from './body.ts';
import { messageStateQuery, pageQuery, textQuery } from './query.ts';
import type { AdminState } from './routes.ts';

/** The largest message there can be as base64, and its meta. */
const maxPublishBytes = 12 * 1024 * 1024;

const duration = z.union([z.string(), z.number()]);
const shortText = z.string().max(1_000);
const publishRequest = z.strictObject({
  topic: z.string(),
  data: z.unknown().optional(),
  text: z.string().optional(),
  base64: z.base64().optional(),
  priority: z.int().min(0).max(9).optional(),
  expiration: duration.optional(),
  cid: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/)
    .optional(),
  inReplyTo: shortText.optional(),
  extClientId: shortText.optional(),
  correlId: shortText.optional(),
  pubTime: z.union([z.iso.datetime({ local: true, offset: true }), z.iso.date()]).optional(),
  contentType: shortText.regex(/^[\x20-\x7e]+$/).optional(),
  idempotencyKey: shortText.min(1).optional(),
});
const takeRequest = z.strictObject({
  max: z.int().min(1).max(1_000).optional(),
  maxBytes: z.int().min(1).optional(),
  wait: duration.optional(),
  ack: z.boolean().optional(),
});
const purgeRequest = z.strictObject({
  state: z.enum(['waiting', 'delayed', 'dead']),
  olderThan: duration.optional(),
});
const redriveRequest = z.strictObject({
  msgIds: z.array(z.string()).min(1).max(10_000).optional(),
  max: z.int().min(1).optional(),
  trial: z.boolean().optional(),
  rate: z.number().min(0.01).max(10_000).optional(),
});

/** Messages, queues and journeys. */
export function addMessages(router: Router<AdminState>, admin: Admin): void {
  router.post('/api/messages', async (ctx) => {
    const text = await readText(ctx, maxPublishBytes);
    const { data: _data, text: _text, base64: _base64, ...meta } = checkAs(text, publishRequest);
    const cid = meta.cid ?? cidFrom(ctx.state.cid);
    ctx.body = await admin.messages.publish({
      ...given(meta),
      topic: meta.topic,
      cid,
      ...payloadOf(text, meta.contentType),
    });
  });
  router.get('/api/messages/:msgId', async (ctx) => {
    answerJson(ctx, messageJson(await admin.messages.show(param(ctx, 'msgId'))));
  });
  router.get('/api/journeys/:id', async (ctx) => {
    ctx.body = await admin.journeys.find(param(ctx, 'id'));
  });
  addQueues(router, admin);
}

function addQueues(router: Router<AdminState>, admin: Admin): void {
  const one = '/api/queues/:subscription';
  router.get('/api/queues', async (ctx) => {
    const topic = textQuery(ctx, 'topic');
    ctx.body = await admin.queues.list({
      ...pageQuery(ctx),
      ...(topic === undefined ? {} : { topic }),
    });
  });
  router.get(one, async (ctx) => {
    ctx.body = await admin.queues.show(param(ctx, 'subscription'));
  });
  router.get(`${one}/messages`, async (ctx) => {
    const [state, topic] = [messageStateQuery(ctx), textQuery(ctx, 'topic')];
    ctx.body = await admin.queues.messages(param(ctx, 'subscription'), {
      ...pageQuery(ctx),
      ...(state === undefined ? {} : { state }),
      ...(topic === undefined ? {} : { topic }),
    });
  });
  router.delete(`${one}/messages/:msgId`, async (ctx) => {
    await admin.queues.remove(param(ctx, 'subscription'), param(ctx, 'msgId'));
    ctx.status = 204;
  });
  router.post(`${one}/take`, async (ctx) => {
    const request = given(await readAs(ctx, takeRequest));
    // Before the wait: who leaves while it lasts takes nothing with him.
    const { signal, closed } = whileOpen(ctx);
    const taken = await admin.queues.take(param(ctx, 'subscription'), request, signal);
    void closed.then((written) => taken.settle(written));
    const items = taken.messages.map(messageJson).join(',');
    answerJson(ctx, `{"items":[${items}],"total":${taken.messages.length}}`);
  });
  router.post(`${one}/purge`, async (ctx) => {
    const { state, ...rest } = await readAs(ctx, purgeRequest);
    const purged = await admin.queues.purge(param(ctx, 'subscription'), { state, ...given(rest) });
    ctx.body = { purged };
  });
  router.post(`${one}/redrive`, async (ctx) => {
    const request = given(await readAs(ctx, redriveRequest));
    const { signal } = whileOpen(ctx);
    ctx.body = await admin.queues.redrive(param(ctx, 'subscription'), request, signal);
  });
}

/** The bytes of the message, JSON exactly as it was written. */
function payloadOf(body: string, contentType: string | undefined): Payload {
  const found = (['data', 'text', 'base64'] as const).flatMap((name) => {
    const slice = sliceOfKey(body, name);
    return slice === undefined ? [] : [{ key: name, value: body.slice(slice.start, slice.end) }];
  });
  const [payload] = found;
  if (payload === undefined || found.length > 1) {
    throw new Fault('bad-request', 'Body: give one of "data", "text" and "base64"');
  }
  const { key, value } = payload;
  if (key === 'data') {
    return { data: Buffer.from(value), contentType: contentType ?? 'application/json' };
  }
  const text = String(JSON.parse(value));
  return key === 'text'
    ? { data: Buffer.from(text), contentType: contentType ?? 'text/plain' }
    : {
        data: Buffer.from(text, 'base64'),
        contentType: contentType ?? 'application/octet-stream',
      };
}

/** Until the caller has left, or the server stops; `closed` tells whether he has the whole reply. */
function whileOpen(ctx: Context): Open {
  const { res } = ctx;
  const { socket } = ctx.req;
  const left = new AbortController();
  const closed = new Promise<boolean>((resolve) => {
    // A response finishes on a broken connection too (Node 20): its socket knows better.
    res.once('finish', () => resolve(!socket.destroyed && !socket.errored));
    res.once('close', () => {
      left.abort();
      resolve(false);
    });
  });
  return { closed, signal: AbortSignal.any([left.signal, ctx.state['stopping'] as AbortSignal]) };
}

interface Open {
  readonly signal: AbortSignal;
  readonly closed: Promise<boolean>;
}

interface Payload {
  readonly data: Buffer;
  readonly contentType: string;
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the keys that were not given. */
function given<T extends object>(value: T): Given<T> {
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(entries) as Given<T>;
}

function answerJson(ctx: Context, text: string): void {
  ctx.type = 'application/json; charset=utf-8';
  ctx.body = text;
}

function param({ params }: { readonly params: Readonly<Record<string, string>> }, name: string) {
  return params[name] ?? '';
}
