/**
 * The mount of a store put together by hand, for as long as the command line has none: takes the words of
 * `holdfast --store DIR mount MOUNTPOINT [--allow-other]`, says a line once mounted, and on SIGTERM or SIGINT makes all
 * durable, unmounts and exits with 0.
 */
import { logTo } from '../../src/base/index.ts';
import { mountTree } from '../../src/fuse/index.ts';
import { configOf, openStore } from '../../src/server/index.ts';

const words = process.argv.slice(2);
const store = words[words.indexOf('--store') + 1] ?? '';
const mountPoint = words[words.indexOf('mount') + 1] ?? '';
const log = logTo(({ level, event, data }) => {
  if (level !== 'info') process.stderr.write(`${level} ${event} ${JSON.stringify(data)}\n`);
}, 'info');

await using opened = await openStore({ options: configOf({ store }).values, command: 'mount', background: true, log });
await using tree = await opened.openTree({});
const mounted = await mountTree(tree, { mountPoint, allowOther: words.includes('--allow-other'), log });
const stop = (): void => void mounted.unmount();
process.once('SIGTERM', stop).once('SIGINT', stop);
process.stdout.write(`mounted at ${mountPoint}\n`);
await mounted.ended;
