import process from 'node:process';
import { stopAll, worker } from './fixture.ts';

/*
 * A worker in a process of its own, to be killed: the socket of its Redis and its namespace are its arguments. It tells
 * its parent its port.
 */

const [, , path = '', namespace = ''] = process.argv;
const { port } = await worker({ path }, namespace);
process.on('disconnect', () => {
  void stopAll().finally(() => process.exit(0));
});
process.send?.(port);
