import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../log/logger.ts';
import { codeFrame } from './code-frame.ts';
import type { DeployFailure, DeployReport } from './unit.ts';

const mostReports = 200;
const mostLines = 20;

/** What happened: reports for the CLI and the admin API, and one log line for each service or failure. */
export class Journal {
  readonly #projectDir: string;
  readonly #log: Logger;
  readonly #reports: DeployReport[] = [];

  constructor(projectDir: string, log: Logger) {
    this.#projectDir = projectDir;
    this.#log = log;
  }

  /** Newest first. */
  reports(): readonly DeployReport[] {
    return this.#reports;
  }

  add(report: DeployReport): void {
    this.#reports.unshift(report);
    this.#reports.length = Math.min(this.#reports.length, mostReports);
    const { id, ms, deployed } = report;
    if (deployed.length > mostLines) {
      const files = new Set(deployed.map((service) => service.file)).size;
      this.#log.info('services deployed', { deploy: id, services: deployed.length, files, ms });
    } else {
      for (const { name, file, version, hash } of deployed) {
        this.#log.info('service deployed', { service: name, file, version, hash, ms });
      }
    }
    for (const name of report.undeployed)
      this.#log.info('service undeployed', { service: name, ms });
    for (const failure of report.failures) {
      const { file, kind, message, line, column, frame } = failure;
      this.#log.error('deploy failed', { file, kind, reason: message, line, column, frame });
    }
  }

  /** Failures of workers come without their source lines. */
  async framed(failure: DeployFailure): Promise<DeployFailure> {
    if (failure.frame !== undefined || failure.line === undefined) return failure;
    try {
      const text = await readFile(join(this.#projectDir, failure.file), 'utf8');
      return {
        ...failure,
        frame: codeFrame(text.replace(/^\uFEFF/, ''), failure.line, failure.column),
      };
    } catch {
      // It went in the meantime: the place is named anyway.
      return failure;
    }
  }
}

/** A helper that fails fails all its users in the same way: said once. */
export function distinct(failures: Iterable<DeployFailure>): DeployFailure[] {
  const found = new Map<string, DeployFailure>();
  for (const failure of failures) {
    const { file, kind, message, line, column } = failure;
    found.set(JSON.stringify([file, kind, message, line, column]), failure);
  }
  return [...found.values()];
}
