/** Locks. */

import { LOCK_MODE_NAMES, LockList, LockRecord } from '../records.ts';
import Type from '../schema.ts';
import { closed, PathText, type Route, text } from './route.ts';

const LockModeName = Type.Optional(
  Type.Union(
    LOCK_MODE_NAMES.map((mode) => Type.Literal(mode)),
    { description: 'X (when absent): nobody else changes it. S: many may hold it, and nobody changes it.' },
  ),
);

const leaseSeconds = Type.Optional(
  Type.Number({ minimum: 1, maximum: 86_400, description: 'How long it lasts unless it is renewed; 60 when absent.' }),
);

const waitSeconds = Type.Optional(
  Type.Number({ minimum: 0, maximum: 600, description: 'How long to wait for others; not at all when absent.' }),
);

const LockBody = Type.Object(
  {
    path: PathText,
    mode: LockModeName,
    lease_seconds: leaseSeconds,
    wait_seconds: waitSeconds,
    holder: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Who holds it, for those who find it locked.' }),
    ),
    session: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Locks of one session do not conflict.' }),
    ),
  },
  closed,
);

const LockChangeBody = Type.Object(
  { mode: LockModeName, lease_seconds: leaseSeconds, wait_seconds: waitSeconds },
  closed,
);

export const LOCK_ROUTES = {
  lockTake: {
    method: 'POST',
    path: '/v1/locks',
    tag: 'Locks',
    summary: 'Lock a file, a folder with all that is in it, or a name that is free',
    description:
      'Until it is given back or its lease ends, changes that do not present the token answer 423. It survives a restart.',
    body: { type: 'json', schema: LockBody, example: { path: '/notes.txt', lease_seconds: 300, holder: 'Ann' } },
    answers: { 201: { description: 'Locked.', type: 'json', schema: LockRecord, headers: ['Location'] } },
    faults: ['not-found', 'not-folder', 'locked', 'deadlock'],
  },
  lockList: {
    method: 'GET',
    path: '/v1/locks',
    tag: 'Locks',
    summary: 'The locks there are, the oldest first',
    query: Type.Object({ path: text('Only those on this path.') }, closed),
    answers: { 200: { description: 'The locks.', type: 'json', schema: LockList } },
  },
  lockChange: {
    method: 'PATCH',
    path: '/v1/locks/{id}',
    tag: 'Locks',
    summary: 'Renew a lock, or make it more or less',
    description: 'The lease begins anew. A mode that gives more waits its turn; one that gives less is had at once.',
    body: { type: 'json', schema: LockChangeBody, isOptional: true, example: { lease_seconds: 300 } },
    answers: { 200: { description: 'As it is now.', type: 'json', schema: LockRecord } },
    faults: ['lock-lost', 'locked', 'deadlock', 'conflict'],
  },
  lockRelease: {
    method: 'DELETE',
    path: '/v1/locks/{id}',
    tag: 'Locks',
    summary: 'Give a lock back, or break somebody else’s',
    answers: { 200: { description: 'What was held.', type: 'json', schema: LockRecord } },
    faults: ['lock-lost'],
  },
} as const satisfies Readonly<Record<string, Route>>;
