import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A script of this folder, in a process of its own, that answers its parent's messages. */
export class Helper<Order extends object, Answer> {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
  }

  /** Resolves with its first message. */
  static async start<Asked extends object, Told, Hello>(
    script: string,
    args: readonly string[] = [],
  ): Promise<{ helper: Helper<Asked, Told>; hello: Hello }> {
    const child = fork(fileURLToPath(new URL(script, import.meta.url)), [...args], {
      // Nothing that mocha or a debugger asked of this process is for that one.
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const helper = new Helper<Asked, Told>(child);
    return { helper, hello: await helper.#next<Hello>() };
  }

  ask(order: Order): Promise<Answer> {
    const answer = this.#next<Answer>();
    this.#child.send(order);
    return answer;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  #next<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (code: number | null) => {
        this.#child.off('message', told);
        reject(new Error(`A helper process ended with ${code}`));
      };
      const told = (message: unknown) => {
        this.#child.off('exit', ended);
        resolve(message as T);
      };
      this.#child.once('message', told);
      this.#child.once('exit', ended);
    });
  }
}

const tickMs = 10;

/** User and system time a process has used, in ms; NaN where there is no /proc. */
export function cpuMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Counted from after the name, which may hold anything: utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  } catch {
    return Number.NaN;
  }
}
