import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { ApplyReport, ApplyRequest } from '../../runtime/admin/api.ts';
import { examples } from '../definition.ts';
import { CliError } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { cell } from '../format.ts';
import { readSource } from '../input.ts';
import type { Output } from '../output.ts';
import { act, type Call } from '../session.ts';

export function addConfig(parent: Command): void {
  parent
    .command('apply <file>')
    .description("make what a YAML file says so, all of it or nothing; '-' reads standard input")
    .option('--dry-run', 'say what would change, change nothing')
    .addHelpText(
      'after',
      examples(['hence config apply hence.yaml --dry-run', 'hence config apply hence.yaml']),
    )
    .action(act(apply));
  parent
    .command('export')
    .description('the whole configuration as YAML that applies again')
    .option('--out <file>', 'write it to a file')
    .addHelpText('after', examples(['hence config export --out hence.yaml']))
    .action(act(exportAll));
}

async function apply({ session, options }: Call, file = ''): Promise<ExitCode> {
  const dryRun = options['dryRun'] === true;
  const request: ApplyRequest = {
    file: file === '-' ? 'stdin' : basename(file),
    text: (await readSource(file)).toString('utf8'),
  };
  const report = await session.client.send<ApplyReport>('POST', '/api/config/apply', {
    json: request,
    query: { 'dry-run': dryRun ? 1 : undefined },
  });
  const names = report.changes.map((change) => `${change.type}/${change.name}`);
  await session.out.one(report, {
    name: names.join('\n'),
    text: () => reportText(session.out, report, dryRun),
  });
  return exitCode.ok;
}

const signs = { created: '+', changed: '~', unchanged: '=' } as const;

async function reportText(out: Output, report: ApplyReport, dryRun: boolean): Promise<string> {
  const { changes, revision } = report;
  const shown = changes.filter((change) => out.format === 'wide' || change.action !== 'unchanged');
  const counts = (['created', 'changed', 'unchanged'] as const).map((action) => {
    const found = changes.filter((change) => change.action === action).length;
    return `${found} ${action}`;
  });
  const lead = dryRun ? 'dry run, nothing changed: ' : '';
  const sentence = `${lead}${counts.join(', ')}, revision ${revision}`;
  if (shown.length === 0) return sentence;
  const { table } = await import('../table.ts');
  const rows = shown.map(({ action, type, name }) => [
    signs[action] ?? '?',
    cell(type),
    cell(name),
  ]);
  return `${table({ rows })}\n${sentence}`;
}

async function exportAll({ session, options }: Call): Promise<ExitCode> {
  const text = await session.client.text('GET', '/api/config/export');
  const file = options['out'];
  if (typeof file === 'string') {
    await write(file, text);
    await session.out.done(`written to ${file}`, file, { file });
    return exitCode.ok;
  }
  if (session.out.format === 'json' || session.out.format === 'ndjson') {
    const { fromYaml } = await import('../yaml.ts');
    await session.out.one(fromYaml(text), { name: '', text: () => text });
  } else {
    session.out.data(text);
  }
  return exitCode.ok;
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    throw new CliError(exitCode.failed, `Cannot write ${file}: ${reason}`, { cause: error });
  }
}
