import { styleText } from 'node:util';

type Style = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

let colour = false;

/** Colours are off until this is told that the terminal shows them. */
export function useColour(on: boolean): void {
  colour = on;
}

/** Whether a stream is a terminal whose user has not asked for plain text. */
export function wantsColour(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  if (stream.isTTY !== true) return false;
  return !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}

/** Never the only signal: words say the same. */
export function paint(style: Style, text: string): string {
  return colour ? styleText(style, text, { validateStream: false }) : text;
}
