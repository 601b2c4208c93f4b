/**
 * Loaded into a process under test with `--import`: every thread writes the most it ever used of its heap and of memory
 * outside it, in bytes, to `$TEST_MEMORY_FILE.<thread>`. The sum over threads is no less than the process used at once.
 */
import { writeFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

const EVERY_MS = 100;

const file = process.env.TEST_MEMORY_FILE;
if (file !== undefined) {
  let most = 0;
  const look = (): void => {
    const { heapUsed, external } = process.memoryUsage();
    if (heapUsed + external <= most) return;
    most = heapUsed + external;
    writeFileSync(`${file}.${threadId}`, String(most));
  };
  look();
  setInterval(look, EVERY_MS).unref();
}
