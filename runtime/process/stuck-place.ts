import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { WebSocket } from 'undici';
import { withDeadline } from '../core/deadline.ts';

/** Where user code was when it was stopped; lines and columns count from 1, as in stack frames. */
export interface StuckPlace {
  /** As the loader names the code: `hence:///services/pushover.ts?v=2`. */
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

export interface StuckOptions {
  /** Takes what the process goes on to print; the inspector's own lines are left out. */
  readonly output: Writable;
  /** Given up after that; default 1,500 ms. */
  readonly withinMs?: number;
}

interface Notice {
  readonly method?: string;
  readonly params?: unknown;
}

interface Frame {
  readonly location: {
    readonly scriptId: string;
    readonly lineNumber: number;
    readonly columnNumber?: number;
  };
}

const own = 'hence:///';
// https://nodejs.org/en/learn/getting-started/debugging: what SIGUSR1 makes Node print.
const listening = /^Debugger listening on (ws:\/\/127\.0\.0\.1:\d+\/[\w-]+)$/;
const chatter =
  /^(?:Debugger (?:listening on|attached|ending on)|For help, see: https:\/\/nodejs\.org|Waiting for the debugger to disconnect)/;

/**
 * The innermost place of user code in a process that does not answer, found with Node's inspector,
 * which opens even while a loop spins. The process stays stopped there with its inspector open:
 * kill it. Start it with `--inspect-port=0`. Never rejects.
 */
export async function stuckPlace(
  child: ChildProcess,
  { output, withinMs = 1_500 }: StuckOptions,
): Promise<StuckPlace | undefined> {
  if (child.exitCode !== null || child.signalCode !== null) return undefined;
  const gaveUp = new AbortController();
  try {
    const gone = once(child, 'exit', { signal: gaveUp.signal }).then(() => undefined);
    const asked = Promise.race([ask(child, output, gaveUp.signal), gone]);
    return await withDeadline(asked, withinMs, () => new Error('late'));
  } catch {
    return undefined; // it is killed without a word on where it was
  } finally {
    gaveUp.abort();
  }
}

/** The service file or helper that a URL of evaluated code names. */
export function fileOf({ url }: StuckPlace): string {
  return decodeURIComponent(url.slice(own.length).replace(/\?v=\d+$/, ''));
}

async function ask(
  child: ChildProcess,
  output: Writable,
  signal: AbortSignal,
): Promise<StuckPlace | undefined> {
  const address = inspectorOf(child, output);
  child.kill('SIGUSR1');
  // Not before it is needed: it takes its time to load.
  const [undici, url] = await Promise.all([import('undici'), address]);
  if (url === undefined || signal.aborted) return undefined;
  const socket = new undici.WebSocket(url);
  signal.addEventListener('abort', () => socket.close());
  return pausedAt(socket);
}

/** The address that it prints; undefined when it ends first. */
function inspectorOf(child: ChildProcess, output: Writable): Promise<string | undefined> {
  const { stderr } = child;
  if (!stderr) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    let rest = '';
    stderr.unpipe(output);
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      const lines = (rest + text).split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const address = listening.exec(line)?.[1];
        if (address) resolve(address);
        else if (line && !chatter.test(line)) output.write(`${line}\n`);
      }
    });
    stderr.once('end', () => {
      if (rest && !chatter.test(rest)) output.write(`${rest}\n`);
      resolve(undefined);
    });
    stderr.resume();
  });
}

function pausedAt(socket: WebSocket): Promise<StuckPlace | undefined> {
  return new Promise((resolve) => {
    // Frames of code from strings come without a URL: the scripts are told of before.
    const urls = new Map<string, string>();
    socket.addEventListener('open', () => {
      for (const [id, method] of ['Debugger.enable', 'Debugger.pause'].entries()) {
        socket.send(JSON.stringify({ id, method }));
      }
    });
    socket.addEventListener('message', ({ data }) => {
      const { method, params }: Notice = JSON.parse(String(data));
      if (method === 'Debugger.scriptParsed') {
        const { scriptId, url } = params as { scriptId: string; url: string };
        if (url.startsWith(own)) urls.set(scriptId, url);
      } else if (method === 'Debugger.paused') {
        resolve(innermost((params as { callFrames: readonly Frame[] }).callFrames, urls));
      }
    });
    socket.addEventListener('error', () => resolve(undefined));
    socket.addEventListener('close', () => resolve(undefined));
  });
}

function innermost(
  frames: readonly Frame[],
  urls: ReadonlyMap<string, string>,
): StuckPlace | undefined {
  for (const { location } of frames) {
    const url = urls.get(location.scriptId);
    if (url === undefined) continue;
    return { url, line: location.lineNumber + 1, column: (location.columnNumber ?? 0) + 1 };
  }
  return undefined;
}
