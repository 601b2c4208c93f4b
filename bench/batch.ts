/**
 * What it gains to send a thousand mixed operations as one: `POST /v1/batch` beside the same operations as requests one
 * after the other on one connection that stays open. Both durable, on one server each with a fresh store.
 */
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { silentLog } from '../src/base/index.ts';
import { configOf, serve } from '../src/server/index.ts';
import { type Comparison, inRounds } from './harness.ts';
import { makePlace } from './places.ts';

const CONTENT = Buffer.from('a small content of a file').toString('base64');

interface Contestant {
  readonly name: string;
  readonly isBatch: boolean;
}
const CONTESTANTS: readonly Contestant[] = [
  { name: 'one batch', isBatch: true },
  { name: 'single requests', isBatch: false },
];

export const batch: Comparison = {
  summary: '1,000 mixed operations as one batch beside 1,000 requests one after the other',
  async run(report, { rounds, isSmall }) {
    const count = isSmall ? 100 : 1_000;
    using place = makePlace('batch', 2 ** 30);
    let store = 0;
    await inRounds(report, rounds, CONTESTANTS, async ({ name, isBatch }) => {
      const options = { store: join(place.folder, `store-${store++}`), 'http.port': 0 };
      const server = await serve({ config: configOf(options), create: true, log: silentLog });
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        const operations = operationsOf(count);
        const started = performance.now();
        if (isBatch) await send(agent, server.url ?? '', 'POST', '/v1/batch', JSON.stringify({ operations }));
        else for (const each of operations) await sendOne(agent, server.url ?? '', each);
        report.add(name, 'ms', performance.now() - started);
      } finally {
        agent.destroy();
        server.stop();
        await server.ended;
      }
    });
    const columns = [{ metric: 'ms', title: `ms for ${count}`, digits: 1, against: 'one batch' }];
    report.table('batch', ['one batch', 'single requests'], columns);
    report.judge({
      ...{ says: 'a batch is at least 20x as fast', contestant: 'single requests', metric: 'ms', against: 'one batch' },
      atLeast: 20,
    });
  },
};

type Operation = Readonly<Record<string, unknown>> & { readonly op: string };

/** Folders, files, copies, moves, changes, removals, a sixth each. */
function operationsOf(count: number): readonly Operation[] {
  const all: Operation[] = [];
  for (let i = 0; all.length < count; i++) {
    all.push(
      { op: 'mkdir', path: `/f${i}` },
      { op: 'put', path: `/f${i}/a`, content: CONTENT },
      { op: 'copy', from_path: `/f${i}/a`, to_path: `/f${i}/b` },
      { op: 'move', from_path: `/f${i}/b`, to_path: `/f${i}/c` },
      { op: 'update', path: `/f${i}/c`, change: { mode: 0o600 } },
      { op: 'delete', path: `/f${i}/a` },
    );
  }
  return all.slice(0, count);
}

function sendOne(agent: Agent, url: string, operation: Operation): Promise<void> {
  const { op, path = '', content, change, ...rest } = operation;
  switch (op) {
    case 'mkdir':
      return send(agent, url, 'POST', `/v1/directories${path}`);
    case 'put':
      return send(agent, url, 'PUT', `/v1/files${path}?create`, Buffer.from(String(content), 'base64'));
    case 'update':
      return send(agent, url, 'PATCH', `/v1/files${path}`, JSON.stringify(change));
    case 'delete':
      return send(agent, url, 'DELETE', `/v1/files${path}`);
    default:
      return send(agent, url, 'POST', `/v1/${op}`, JSON.stringify(rest));
  }
}

function send(agent: Agent, url: string, method: string, path: string, body: string | Buffer = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-length': Buffer.byteLength(body),
      ...(typeof body === 'string' && body !== '' ? JSON_TYPE : {}),
    };
    const asking = request(`${url}${path}`, { agent, method, headers }, (answer) => {
      const { statusCode = 0 } = answer;
      answer.resume();
      answer.on('end', () => (statusCode < 300 ? resolve() : reject(new Error(`${method} ${path}: ${statusCode}`))));
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

const JSON_TYPE = { 'content-type': 'application/json' };
