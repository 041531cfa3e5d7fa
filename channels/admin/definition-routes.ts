import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Admin } from '../../runtime/admin/admin.ts';
import type { DefinitionView } from '../../runtime/admin/api.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { readAs, readObject } from './body.ts';
import { ifMatch, one, pageQuery } from './query.ts';
import type { AdminState } from './routes.ts';

const renameRequest = z.strictObject({ to: z.string() });

export function addDefinitions(router: Router<AdminState>, admin: Admin): void {
  router.get('/api/definitions/:type', (ctx) => {
    ctx.body = admin.definitions(param(ctx, 'type'), pageQuery(ctx));
  });
  router.post('/api/definitions/:type', async (ctx) => {
    const { name, ...spec } = await readObject(ctx);
    if (typeof name !== 'string') throw new Fault('bad-request', 'Body: "name" is missing');
    const type = param(ctx, 'type');
    const view = await admin.createDefinition(type, name, spec);
    ctx.status = 201;
    ctx.set('Location', `/api/definitions/${type}/${encodeURIComponent(view.name)}`);
    answer(ctx, view);
  });
  const path = '/api/definitions/:type/:name';
  router.get(path, (ctx) => {
    answer(ctx, admin.definition(param(ctx, 'type'), param(ctx, 'name')));
  });
  router.put(path, async (ctx) => {
    const name = param(ctx, 'name');
    const spec = withoutView(await readObject(ctx), name);
    answer(ctx, await admin.putDefinition(param(ctx, 'type'), name, spec, ifMatch(ctx)));
  });
  router.patch(path, async (ctx) => {
    const name = param(ctx, 'name');
    const keys = withoutView(await readObject(ctx), name);
    answer(ctx, await admin.patchDefinition(param(ctx, 'type'), name, keys, ifMatch(ctx)));
  });
  router.delete(path, async (ctx) => {
    await admin.deleteDefinition(param(ctx, 'type'), param(ctx, 'name'), ifMatch(ctx));
    ctx.status = 204;
  });
  router.post(`${path}/rename`, async (ctx) => {
    const { to } = await readAs(ctx, renameRequest);
    ctx.body = await admin.renameDefinition(param(ctx, 'type'), param(ctx, 'name'), to);
  });
  router.get('/api/permissions/check', (ctx) => {
    const [security, operation, topic] = ['security', 'operation', 'topic'].map((name) =>
      one(ctx, name),
    );
    ctx.body = admin.checkPermission({ security, operation, topic });
  });
}

function param({ params }: { readonly params: Readonly<Record<string, string>> }, name: string) {
  return params[name] ?? '';
}

function answer(ctx: Context, view: DefinitionView): void {
  ctx.set('ETag', `"${view.revision}"`);
  ctx.body = view;
}

/** A view may be sent back as it came: what is not of the spec is left out of it. */
function withoutView(
  { name, revision: _revision, updatedAt: _updatedAt, ...spec }: Readonly<Record<string, unknown>>,
  expected: string,
): Readonly<Record<string, unknown>> {
  if (name === undefined || name === expected) return spec;
  throw new Fault('bad-request', `Body: "name" must be ${expected}; a definition keeps its name`);
}
