import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CliError } from './errors.ts';
import { exitCode } from './exit-code.ts';
import { readYaml, toYaml } from './yaml.ts';

/** A definition as YAML in a file that only its user can read, while an editor has it. */
export class Draft {
  readonly path: string;
  readonly #text: string;

  private constructor(path: string, text: string) {
    this.path = path;
    this.#text = text;
  }

  static async write(name: string, value: unknown): Promise<Draft> {
    const path = join(await mkdtemp(join(tmpdir(), 'hence-')), name);
    const text = toYaml(value);
    await writeFile(path, text, { mode: 0o600 });
    return new Draft(path, text);
  }

  /** What the editor saved; undefined when nothing changed. */
  async edit(): Promise<unknown> {
    await runEditor(this.path);
    const text = await readFile(this.path, 'utf8');
    if (text === this.#text) {
      await this.remove();
      return undefined;
    }
    return readYaml(text, ({ message, place }) => {
      const at = place === undefined ? '' : `:${place.line}:${place.column}`;
      return new CliError(exitCode.usage, message, {
        where: `${this.path}${at}`,
        fix: 'your text is kept in that file',
      });
    });
  }

  async remove(): Promise<void> {
    await rm(dirname(this.path), { recursive: true, force: true });
  }
}

async function runEditor(path: string): Promise<void> {
  const command = process.env['VISUAL'] || process.env['EDITOR'] || 'vi';
  // $EDITOR may hold arguments: `code --wait`.
  const [program = 'vi', ...args] = command.split(/\s+/);
  const editor = spawn(program, [...args, path], { stdio: 'inherit' });
  const [code] = await once(editor, 'exit').catch((error: Error) => {
    throw new CliError(exitCode.failed, `Cannot run ${program}: ${error.message}`, {
      fix: 'set EDITOR',
      cause: error,
    });
  });
  if (code !== 0) {
    throw new CliError(exitCode.failed, `${program} ended with ${code}: nothing changed`, {
      where: path,
    });
  }
}
