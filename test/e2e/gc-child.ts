/**
 * A process that opens a store, collects, and kills itself at a named step of the collection, the nth time it gets there.
 * Words: STORE STEP NTH. Ends with 0 when it never got there.
 */

import { loadConfig } from '../../src/server/config.ts';
import { openStore } from '../../src/server/open-store.ts';

const [store = '', wanted = '', nth = '1'] = process.argv.slice(2);
const config = await loadConfig({ environment: { ...process.env, HOLDFAST_STORE: store }, workingFolder: '/' });
let left = Number(nth);
await using open = await openStore({
  options: config.values,
  command: 'gc test',
  onCollectStep: (step) => {
    if (step === wanted && --left === 0) process.kill(process.pid, 'SIGKILL');
  },
});
await open.service({ door: 'test', request: '' }).gc({ graceSeconds: 0 });
