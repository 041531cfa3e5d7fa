/** One measured number against its goal. */
export interface Figure {
  readonly name: string;
  readonly measured: number;
  readonly unit: 'x' | 'ms' | 's' | 'MB' | '%' | '';
  readonly goal: { readonly atLeast: number } | { readonly atMost: number };
  /** Absolute numbers, for information. */
  readonly beside?: string;
}

/** Where a group tells what it found. */
export interface Report {
  /** A run of seconds that only shows that everything works. */
  readonly quick: boolean;
  figure(figure: Figure): void;
  /** A line for the reader. */
  note(text: string): void;
  /** A failed or wrong reply: the only thing a run fails for. */
  error(sentence: string): void;
}

export type Group = (report: Report) => Promise<void>;

export function lineOf({ name, measured, unit, goal, beside }: Figure): string {
  const [sign, wanted] = 'atLeast' in goal ? ['>=', goal.atLeast] : ['<=', goal.atMost];
  const met = 'atLeast' in goal ? measured >= goal.atLeast : measured <= goal.atMost;
  const verdict = met ? 'ok' : 'MISSED';
  const parts = [
    name.padEnd(44),
    shown(measured, unit).padStart(9),
    `  goal ${sign} ${shown(wanted, unit)}`.padEnd(20),
    verdict.padEnd(6),
  ];
  return `${parts.join(' ')}${beside === undefined ? '' : `  ${beside}`}`.trimEnd();
}

function shown(value: number, unit: Figure['unit']): string {
  if (Number.isInteger(value)) return `${value} ${unit}`.trim();
  return `${value.toFixed(unit === 'ms' || unit === '%' ? 1 : 2)} ${unit}`.trim();
}

/** The value below which this part (0 to 1) of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const at = Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1);
  return sorted[Math.max(at, 0)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
