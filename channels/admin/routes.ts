import { Readable } from 'node:stream';
import Router from '@koa/router';
import { z } from 'zod';
import type { Admin } from '../../runtime/admin/admin.ts';
import { readAs, readText } from './body.ts';
import { addDefinitions } from './definition-routes.ts';
import { addMessages } from './message-routes.ts';
import { flag, logQuery, pageQuery, stateQuery } from './query.ts';
import { addSchedules } from './schedule-routes.ts';

/** What a request carries beside koa's own. */
export interface AdminState {
  readonly cid: string;
  /** Aborts when the server stops. */
  readonly stopping: AbortSignal;
}

const invokeRequest = z.strictObject({
  input: z.unknown().optional(),
  async: z.boolean().optional(),
  timeoutMs: z.number().positive().max(86_400_000).optional(),
  cid: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/)
    .optional(),
});
const applyRequest = z.strictObject({ file: z.string().max(1_024), text: z.string() });
const kvdbRequest = z.strictObject({ command: z.array(z.string()).min(1) });

/** The paths of `runtime/admin/api.ts`. */
export function adminRoutes(admin: Admin): Router<AdminState> {
  const router = new Router<AdminState>({ strict: true, sensitive: true });
  addHealth(router, admin);
  addServices(router, admin);
  addDefinitions(router, admin);
  addOthers(router, admin);
  addInvocations(router, admin);
  addMessages(router, admin);
  addSchedules(router, admin);
  return router;
}

function addHealth(router: Router<AdminState>, admin: Admin): void {
  router.get('/healthz', (ctx) => {
    ctx.body = {};
  });
  router.get('/readyz', async (ctx) => {
    const readiness = await admin.readiness();
    ctx.status = readiness.ready ? 200 : 503;
    ctx.body = readiness;
  });
  router.get('/api/status', async (ctx) => {
    ctx.body = await admin.status();
  });
  router.post('/api/stop', (ctx) => {
    ctx.status = 202;
    ctx.body = {};
    // The answer goes out first.
    ctx.res.once('close', () => admin.stop());
  });
}

function addServices(router: Router<AdminState>, admin: Admin): void {
  router.get('/api/services', async (ctx) => {
    ctx.body = await admin.services(pageQuery(ctx));
  });
  router.get('/api/services/:name', async (ctx) => {
    ctx.body = await admin.service(param(ctx, 'name'));
  });
  router.post('/api/services/:name/invoke', async (ctx) => {
    const { input, async: stored, timeoutMs, cid } = await readAs(ctx, invokeRequest);
    ctx.body = await admin.invoke(param(ctx, 'name'), {
      cid: cid ?? ctx.state.cid,
      ...(input === undefined ? {} : { input }),
      ...(stored === undefined ? {} : { async: stored }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  });
  router.put('/api/files/:file', async (ctx) => {
    const text = await readText(ctx);
    ctx.body = await admin.deployFile(param(ctx, 'file'), text, flag(ctx, 'check'));
  });
  router.get('/api/deploys', (ctx) => {
    ctx.body = admin.deploys(pageQuery(ctx));
  });
}

function addOthers(router: Router<AdminState>, admin: Admin): void {
  router.post('/api/config/apply', async (ctx) => {
    const request = await readAs(ctx, applyRequest);
    ctx.body = await admin.applyConfig(request, flag(ctx, 'dry-run'));
  });
  router.get('/api/config/export', (ctx) => {
    ctx.type = 'text/yaml; charset=utf-8';
    ctx.body = admin.exportConfig();
  });
  router.post('/api/outgoing/:name/ping', async (ctx) => {
    ctx.body = await admin.ping(param(ctx, 'name'), ctx.state.cid);
  });
  router.post('/api/kvdb', async (ctx) => {
    const { command } = await readAs(ctx, kvdbRequest);
    ctx.body = { result: await admin.kvdb(command) };
  });
  router.get('/api/standins/:name', async (ctx) => {
    ctx.body = await admin.standin(param(ctx, 'name'));
  });
  router.delete('/api/standins/:name', async (ctx) => {
    await admin.clearStandin(param(ctx, 'name'));
    ctx.status = 204;
  });
  router.get('/api/logs', (ctx) => {
    ctx.type = 'application/x-ndjson; charset=utf-8';
    const query = logQuery(ctx);
    if (!flag(ctx, 'follow')) {
      ctx.body = admin.logs(query).map(line).join('');
      return;
    }
    const left = new AbortController();
    ctx.res.once('close', () => left.abort());
    const lines = admin.followLogs(query, AbortSignal.any([left.signal, ctx.state.stopping]));
    // The reader learns at once that it is connected, even before the first line.
    ctx.status = 200;
    ctx.flushHeaders();
    ctx.body = Readable.from(asText(lines));
  });
}

function addInvocations(router: Router<AdminState>, admin: Admin): void {
  router.get('/api/invocations', async (ctx) => {
    ctx.body = await admin.invocations(stateQuery(ctx), pageQuery(ctx));
  });
  router.post('/api/invocations/:id/retry', async (ctx) => {
    await admin.retryInvocation(param(ctx, 'id'));
    ctx.body = {};
  });
  router.delete('/api/invocations/:id', async (ctx) => {
    await admin.deleteInvocation(param(ctx, 'id'));
    ctx.status = 204;
  });
}

function param({ params }: { readonly params: Readonly<Record<string, string>> }, name: string) {
  return params[name] ?? '';
}

function line(record: unknown): string {
  return `${JSON.stringify(record)}\n`;
}

async function* asText(records: AsyncIterable<unknown>): AsyncGenerator<string, void, void> {
  for await (const record of records) yield line(record);
}
