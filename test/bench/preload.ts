import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';

/*
 * Given to the processes of a system under test with `--import`: at SIGWINCH it collects garbage and
 * leaves the heap's size in a file, so that the system itself needs no way of being asked. That signal does
 * nothing to a process that does not listen, and no part of the system uses it.
 */

const folder = process.env['HENCE_BENCH_HEAP'];
if (folder !== undefined) {
  mkdirSync(folder, { recursive: true });
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;
  process.on('SIGWINCH', () => {
    void (async () => {
      // Finalizers run between collections and let go of more.
      for (let round = 0; round < 5; round++) {
        collect();
        await nextTurn();
      }
      const { heapUsed } = process.memoryUsage();
      const file = join(folder, `${process.pid}.json`);
      writeFileSync(`${file}.tmp`, JSON.stringify({ heapUsed }));
      renameSync(`${file}.tmp`, file);
    })();
  });
}
