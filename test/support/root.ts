import { fileURLToPath } from 'node:url';

/** The folder of the repository; this file runs as `dist/test/support/root.js`. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));
