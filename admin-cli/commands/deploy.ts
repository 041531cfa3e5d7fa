import { basename } from 'node:path';
import type { Command } from 'commander';
import type { DeployReport } from '../../runtime/admin/api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { failureText } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { span } from '../format.ts';
import { readSource } from '../input.ts';
import { paint } from '../paint.ts';
import { act, type Call, type Session } from '../session.ts';

export function addDeploy(command: Command): void {
  command
    .description('send service files, wait for the verdict')
    .option('--check', 'compile and load, but do not swap')
    .addHelpText(
      'after',
      examples(['hence service deploy pushover.ts', 'hence service deploy --check src/*.ts']),
    )
    .action(act(deploy));
}

async function deploy(call: Call, ...files: string[]): Promise<ExitCode> {
  const { session, options } = call;
  // All are read before the first is sent: a wrong name changes nothing.
  const sources = await Promise.all(
    files.map(async (file) => ({ file, text: await readSource(file) })),
  );
  const reports: DeployReport[] = [];
  for (const { file, text } of sources) {
    const report = await session.client.send<DeployReport>(
      'PUT',
      AdminClient.path('files', basename(file)),
      { text, query: { check: options['check'] === true ? 1 : undefined } },
    );
    reports.push(report);
    if (session.out.forPeople) tell(session, report, options['check'] === true);
  }
  if (!session.out.forPeople) await print(session, reports);
  const failed = reports.filter((report) => report.failures.length > 0).length;
  if (failed === 0) return exitCode.ok;
  return failed === reports.length ? exitCode.failed : exitCode.partly;
}

async function print(session: Session, reports: readonly DeployReport[]): Promise<void> {
  const [only] = reports;
  if (session.out.format === 'name') {
    const names = reports.flatMap((report) => report.deployed.map((service) => service.name));
    if (names.length > 0) session.out.data(names.join('\n'));
    return;
  }
  if (reports.length === 1) return session.out.one(only, { name: '', text: () => '' });
  const page = { items: reports, total: reports.length };
  await session.out.page(page, { noun: 'reports', columns: [], name: () => '' });
}

function tell(session: Session, report: DeployReport, check: boolean): void {
  const verb = check ? 'checked' : 'deployed';
  for (const service of report.deployed) {
    const { name, version, hash } = service;
    session.out.data(`${name} v${version} ${verb}   ${span(report.ms)}   ${hash}`);
  }
  for (const name of report.undeployed) session.out.data(`${name} undeployed`);
  for (const failure of report.failures) {
    process.stderr.write(`${paint('red', 'error')}  ${failureText(failure)}\n`);
  }
  if (report.failures.length > 0) session.out.hint('the version that served before still serves');
}
