import { styleText } from 'node:util';
import type { Level } from './logger.ts';

type Style = Parameters<typeof styleText>[0];

const styles: Record<Level, Style> = {
  debug: 'gray',
  info: 'green',
  warn: 'yellow',
  error: 'red',
};

/** Facts a person does not read on every line. */
const quiet = new Set(['time', 'level', 'message']);

/** One line for a person: `14:02:11 info  service deployed  service=a.b version=2`; texts of several lines follow, indented. */
export function prettyLine(record: Readonly<Record<string, unknown>>, colour: boolean): string {
  const paint = (style: Style, text: string) =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const level = (record['level'] as Level | undefined) ?? 'info';
  const short: string[] = [];
  const long: string[] = [];
  for (const [key, value] of Object.entries(record)) {
    if (quiet.has(key) || value === undefined) continue;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (text.includes('\n')) long.push(indent(text));
    else short.push(`${paint('gray', `${key}=`)}${text}`);
  }
  const time = new Date(String(record['time'])).toTimeString().slice(0, 8);
  const head = [
    paint('gray', time),
    paint(styles[level] ?? 'white', level.padEnd(5)),
    oneLine(record['message']),
  ];
  return `${[`  ${head.join('  ')}`, ...short].join('  ')}\n${long.join('')}`;
}

function oneLine(message: unknown): string {
  return String(message).replaceAll(/[\r\n]+/g, ' ');
}

function indent(text: string): string {
  return `${text.replace(/\n+$/, '').replaceAll(/^/gm, '            ')}\n`;
}
