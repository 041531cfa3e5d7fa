import type { ServerResponse } from 'node:http';

export const modes = [
  'ok',
  '500',
  '429',
  '200-status0',
  'hang',
  'half',
  'rst',
  'slow',
  'html500',
  'badjson',
] as const;

/** How the stand-in answers: as the contract says (`ok`), or as a real system does on a bad day. */
export type Mode = (typeof modes)[number];

/** Modes in which a client gets a server error or no reply at all. */
const failing: ReadonlySet<Mode> = new Set<Mode>(['500', 'html500', 'hang', 'half', 'rst']);

const trickleMs = 300;

/** The mode of the moment, for all calls or for the next few. */
export class ModeSwitch {
  #mode: Mode = 'ok';
  #left = Number.POSITIVE_INFINITY;

  set(mode: Mode, count = Number.POSITIVE_INFINITY): void {
    this.#mode = mode;
    this.#left = count;
  }

  /** The mode for the next call. */
  take(): Mode {
    if (this.#left <= 0) this.set('ok');
    this.#left--;
    return this.#mode;
  }
}

export function isMode(value: unknown): value is Mode {
  return modes.some((mode) => mode === value);
}

export function isFailing(mode: Mode): boolean {
  return failing.has(mode);
}

/** Answers in a mode that does not speak JSON as it should; false when this mode does. */
export function misbehave(mode: Mode, response: ServerResponse, good: string): boolean {
  const length = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(good) };
  switch (mode) {
    case 'ok':
    case '429':
    case '500':
    case '200-status0':
      return false;
    case 'hang':
      return true;
    case 'rst':
      response.socket?.resetAndDestroy();
      return true;
    case 'half':
      response.writeHead(200, length);
      response.write(good.slice(0, good.length / 2), () => response.socket?.destroy());
      return true;
    case 'slow':
      response.writeHead(200, length);
      trickle(response, good);
      return true;
    case 'html500':
      response.writeHead(500, { 'Content-Type': 'text/html' });
      response.end('<html><body><h1>500 Internal Server Error</h1></body></html>');
      return true;
    case 'badjson':
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(good.slice(0, -1));
      return true;
  }
}

function trickle(response: ServerResponse, text: string): void {
  let at = 0;
  const timer = setInterval(() => {
    response.write(text.charAt(at++));
    if (at < text.length) return;
    clearInterval(timer);
    response.end();
  }, trickleMs);
  response.once('close', () => clearInterval(timer));
}
