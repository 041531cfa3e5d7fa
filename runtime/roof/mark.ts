import { openSync, writeSync } from 'node:fs';

/**
 * Notes which service file is being evaluated, in a file that outlives the process: written
 * synchronously, because an endless loop leaves no other moment.
 */
export function openMark(file: string): (path: string | undefined) => void {
  const descriptor = openSync(file, 'w', 0o600);
  return (path) => {
    writeSync(descriptor, `${path ?? ''}\0`, 0);
  };
}
