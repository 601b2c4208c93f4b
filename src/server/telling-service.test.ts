/** Changes are answered after the mounts have been told; questions do not wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileService } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { tellingService } from './telling-service.ts';

const CHANGES = ['makeFolder', 'write', 'setAttributes', 'move', 'copy', 'remove', 'restore'] as const;
const QUESTIONS = ['info', 'stat', 'list', 'read', 'search', 'versions', 'stats', 'check'] as const;

/** A service that notes what was called, in order, beside what was told. */
function noting(fails = false): { readonly events: string[]; readonly service: Record<string, unknown> } {
  const events: string[] = [];
  const names: readonly string[] = [...CHANGES, ...QUESTIONS];
  const called = (name: string) => async (): Promise<string> => {
    await Promise.resolve();
    if (fails) throw new Fault('conflict', 'It changed.');
    events.push(name);
    return name;
  };
  const service: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, called(name)]));
  service.manifest = async function* () {};
  service.writeMany = async function* () {
    for (const name of ['one', 'two']) {
      events.push(name);
      yield name;
    }
  };
  const told = async (): Promise<void> => {
    await Promise.resolve();
    events.push('told');
  };
  return { events, service: tellingService(service as unknown as FileService, told) as never };
}

test('every change is answered after the mounts were told of it', async () => {
  for (const name of CHANGES) {
    const { events, service } = noting();
    assert.equal(await (service[name] as () => Promise<string>)(), name);
    assert.deepEqual(events, [name, 'told']);
  }
  const { events, service } = noting();
  for await (const result of (service.writeMany as () => AsyncIterable<string>)()) events.push(`answered ${result}`);
  assert.deepEqual(events, ['one', 'told', 'answered one', 'two', 'told', 'answered two']);
});

test('questions wait for nobody, and what fails is told to nobody', async () => {
  for (const name of QUESTIONS) {
    const { events, service } = noting();
    await (service[name] as () => Promise<string>)();
    assert.deepEqual(events, [name]);
  }
  const { events, service } = noting(true);
  await assert.rejects((service.write as () => Promise<string>)(), { code: 'conflict' });
  assert.deepEqual(events, []);
});
