import Table from 'cli-table3';

/** The only file that knows the table library. */
export interface Grid {
  readonly head?: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Indexes of the columns of numbers. */
  readonly right?: readonly number[];
}

const borderless = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
} as const;

/** Columns two spaces apart, without borders. */
export function table(grid: Grid): string {
  const width = grid.head?.length ?? grid.rows[0]?.length ?? 0;
  const drawn = new Table({
    chars: borderless,
    style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [], compact: true },
    ...(grid.head === undefined ? {} : { head: [...grid.head] }),
    colAligns: Array.from({ length: width }, (_, at) =>
      grid.right?.includes(at) ? ('right' as const) : ('left' as const),
    ),
  });
  for (const row of grid.rows) drawn.push([...row]);
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
