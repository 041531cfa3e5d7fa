import { type Command, Option } from 'commander';
import type { InvocationView } from '../../runtime/admin/api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { CliError, errorText } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, cell, count } from '../format.ts';
import type { Listing } from '../output.ts';
import { act, type Session } from '../session.ts';

const listing: Listing<InvocationView> = {
  noun: 'invocations',
  name: (view) => view.id,
  columns: [
    { head: 'ID', cell: (view) => cell(view.id) },
    { head: 'SERVICE', cell: (view) => cell(view.service) },
    { head: 'STATE', cell: (view) => cell(view.state) },
    { head: 'ATTEMPTS', right: true, cell: (view) => count(view.attempts) },
    { head: 'CREATED', cell: (view) => ago(view.createdAt) },
    { head: 'REASON', cell: (view) => cell(view.reason) },
    { head: 'CID', wide: true, cell: (view) => cell(view.cid) },
  ],
};

export function addInvocation(parent: Command): void {
  parent
    .command('list')
    .alias('ls')
    .description('stored calls (invokeAsync) by state; dead ones used up their attempts')
    .addOption(
      new Option('--state <state>', 'which ones').choices(['waiting', 'active', 'delayed', 'dead']),
    )
    .addHelpText('after', examples(['hence invocation list --state dead']))
    .action(
      act(async ({ session, options }) => {
        const state = options['state'];
        const query = { state: typeof state === 'string' ? state : undefined };
        const { client, limit } = session;
        const page = await client.list<InvocationView>('/api/invocations', limit, query);
        await session.out.page(page, listing);
        return exitCode.ok;
      }),
    );
  parent
    .command('retry <ids...>')
    .description('try dead calls again')
    .addHelpText('after', examples(['hence invocation retry 01936f2e-7b1c-7000']))
    .action(
      act(({ session }, ...ids) =>
        each(session, ids, 'queued again', (path) => session.client.send('POST', `${path}/retry`)),
      ),
    );
  parent
    .command('delete <ids...>')
    .alias('rm')
    .description('forget stored calls; asks first, or wants --yes')
    .addHelpText('after', examples(['hence invocation delete 01936f2e-7b1c-7000 --yes']))
    .action(
      act(async ({ session }, ...ids) => {
        if (!(await session.confirm(`Deleting ${ids.length} stored calls`))) {
          session.out.hint('nothing deleted');
          return exitCode.failed;
        }
        return each(session, ids, 'deleted', (path) => session.client.send('DELETE', path));
      }),
    );
}

/** One after the other; one that fails does not stop the next. */
async function each(
  session: Session,
  ids: readonly string[],
  done: string,
  work: (path: string) => Promise<unknown>,
): Promise<ExitCode> {
  const failures: CliError[] = [];
  for (const id of ids) {
    try {
      await work(AdminClient.path('invocations', id));
      await session.out.done(`invocation ${id} ${done}`, id, { id, done: true });
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first === undefined) return exitCode.ok;
  if (ids.length === 1) throw first;
  for (const failure of failures) process.stderr.write(errorText(failure));
  return failures.length === ids.length ? first.exitCode : exitCode.partly;
}
