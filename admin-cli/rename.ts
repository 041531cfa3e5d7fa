import type { Command } from 'commander';
import type { RenameReport } from '../runtime/admin/api.ts';
import { AdminClient } from './client.ts';
import { examples } from './definition.ts';
import { exitCode } from './exit-code.ts';
import { cell } from './format.ts';
import type { Noun } from './noun.ts';
import { act } from './session.ts';

/** `rename OLD NEW` for definitions that keep their messages by it. */
export function addRename(parent: Command, noun: Noun, example: string): void {
  parent
    .command('rename <old> <new>')
    .description(`give a ${noun.type} another name; messages stay`)
    .addHelpText('after', examples([example]))
    .action(
      act(async ({ session }, from = '', to = '') => {
        const path = `${AdminClient.path('definitions', noun.type, from)}/rename`;
        const report = await session.client.send<RenameReport>('POST', path, { json: { to } });
        const { name, revision, changes } = report;
        const sentence = `${noun.type} ${cell(name)} renamed, revision ${revision}`;
        await session.out.done(sentence, name, report);
        for (const change of changes.filter(({ action }) => action === 'changed')) {
          session.out.hint(`${change.type} ${change.name} follows`);
        }
        return exitCode.ok;
      }),
    );
}
