/** The change feed as server-sent events: what comes, with ids to come again with, and its end with the door. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom, utf8 } from '../base/index.ts';
import { FakeStore } from './fake-file-service.ts';
import { createHttpDoor } from './index.ts';

interface Event {
  readonly id: string;
  readonly commit: number;
}

test('events come one a commit, go on behind the last id, and end when the door closes', async () => {
  const store = new FakeStore();
  await using door = await createHttpDoor({
    service: (caller) => store.service(caller),
    ...{ clock: systemClock, random: systemRandom, log: silentLog },
    info: () => ({ version: '0.0.0', store_id: 'fake', uptime_seconds: 0 }),
  });
  const address = await door.listen({ host: '127.0.0.1', port: 0 });
  const url = 'url' in address ? address.url : '';
  const service = store.service();
  const put = (name: string): Promise<unknown> => service.write(name, [utf8(name)], { mode: 'put' });
  await put('/a');
  await put('/b');
  const open = async (lastId?: string): Promise<AsyncGenerator<Event>> => {
    const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) };
    const answer = await fetch(`${url}/v1/changes`, { headers });
    assert.equal(answer.headers.get('content-type'), 'text/event-stream');
    return eventsOf(answer);
  };
  const first = await open();
  const one = await first.next();
  assert.equal(one.value.commit, 1);
  await first.return(undefined);
  const second = await open(one.value.id);
  assert.equal((await second.next()).value.commit, 2);
  await put('/c');
  assert.equal((await second.next()).value.commit, 3);
  const wrong = await fetch(`${url}/v1/changes?after=nonsense`, { headers: { accept: 'text/event-stream' } });
  assert.equal(wrong.status, 400);
  const ended = second.next();
  await door.drain(5_000);
  assert.equal((await ended).done, true);
});

async function* eventsOf(answer: Response): AsyncGenerator<Event> {
  let held = '';
  for await (const piece of answer.body ?? []) {
    held += Buffer.from(piece).toString();
    const events = held.split('\n\n');
    held = events.pop() ?? '';
    for (const event of events) {
      const fields = new Map(
        event.split('\n').map((line) => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)]),
      );
      const data = fields.get('data');
      if (data !== undefined) yield { id: fields.get('id') ?? '', commit: (JSON.parse(data) as Event).commit };
    }
  }
}
