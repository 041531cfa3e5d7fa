import type Router from '@koa/router';
import type { Admin } from '../../runtime/admin/admin.ts';
import { flag, pageQuery } from './query.ts';
import type { AdminState } from './routes.ts';

export function addSchedules(router: Router<AdminState>, admin: Admin): void {
  router.get('/api/schedules', async (ctx) => {
    ctx.body = await admin.schedules.list(pageQuery(ctx));
  });
  router.get('/api/schedules/:name', async (ctx) => {
    ctx.body = await admin.schedules.show(ctx.params['name'] ?? '');
  });
  router.post('/api/schedules/:name/run', async (ctx) => {
    const wait = flag(ctx, 'wait');
    ctx.body = await admin.schedules.run(ctx.params['name'] ?? '', { cid: ctx.state.cid, wait });
  });
}
