import type { Command } from 'commander';
import type { DefinitionView } from '../runtime/admin/api.ts';
import { AdminClient } from './client.ts';
import { createDefinition, editDefinition } from './definition-edit.ts';
import { exitCode } from './exit-code.ts';
import { allowLoss, mayLose } from './loss.ts';
import { addSpecFlags, type Noun } from './noun.ts';
import { act } from './session.ts';

/** `list`, `show`, `create`, `edit` and `delete` for one type of definition. */
export function addDefinitionVerbs(parent: Command, noun: Noun): void {
  addList(parent, noun);
  addShow(parent, noun);
  const create = parent
    .command(noun.defaultName === undefined ? 'create <name>' : 'create [name]')
    .description(`make a new ${noun.type}`)
    .addHelpText('after', examples(noun.examples.create));
  addSpecFlags(create, noun);
  create.action(act((call, name = '') => createDefinition(noun, call, name)));
  const edit = parent
    .command('edit <name>')
    .description('change what the flags say; without flags, all of it in $EDITOR')
    .addHelpText('after', examples(noun.examples.edit));
  addSpecFlags(edit, noun);
  edit.action(act((call, name = '') => editDefinition(noun, call, name)));
  addDelete(parent, noun);
}

export function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}

function addList(parent: Command, noun: Noun): void {
  parent
    .command('list')
    .alias('ls')
    .description(`all ${noun.plural}, by name`)
    .action(
      act(async ({ session }) => {
        const path = AdminClient.path('definitions', noun.type);
        const page = await session.client.list<DefinitionView>(path, session.limit);
        await session.out.page(page, {
          noun: noun.plural,
          columns: noun.columns,
          name: (view) => view.name,
        });
        return exitCode.ok;
      }),
    );
}

function addShow(parent: Command, noun: Noun): void {
  parent
    .command('show <name>')
    .description(`one ${noun.type}, every key`)
    .action(
      act(async ({ session }, name = '') => {
        const path = AdminClient.path('definitions', noun.type, name);
        const view = await session.client.get<DefinitionView>(path);
        await session.out.one(view, { name: view.name, text: () => session.out.facts(view) });
        return exitCode.ok;
      }),
    );
}

function addDelete(parent: Command, noun: Noun): void {
  const command = parent
    .command('delete <name>')
    .alias('rm')
    .description(`remove a ${noun.type}; asks first, or wants --yes`);
  if (noun.lossOf) command.option(...allowLoss);
  command.addHelpText('after', examples([`hence ${noun.type} delete NAME --yes`])).action(
    act(async ({ session, options }, name = '') => {
      const path = AdminClient.path('definitions', noun.type, name);
      const view = await session.client.get<DefinitionView>(path);
      const loss = await noun.lossOf?.(session, view);
      const agreed =
        loss === undefined
          ? await session.confirm(`Deleting ${noun.type} ${name}`)
          : await mayLose(session, loss, name, options['allowDataLoss'] === true);
      if (!agreed) {
        session.out.hint('nothing deleted');
        return exitCode.failed;
      }
      await session.client.send('DELETE', path, { revision: view.revision });
      await session.out.done(`${noun.type} ${name} deleted`, name, { name, deleted: true });
      return exitCode.ok;
    }),
  );
}
