/**
 * Requests made up from the route table, right and wrong in every part: whatever comes in, the answer is one that the
 * document names, errors are problem documents, and nothing is ever the server's own fault.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { openApiDocument, Problem, REQUEST_HEADERS, ROUTE_IDS, type RouteId, routeOf } from '../api/index.ts';
import { openFakeDoor } from './fake-door.ts';

const RUNS = 1_500;
/** What any request may be answered beside what its route names: a wrong method, type or path is found before. */
const ALWAYS = [400, 403, 404, 405, 409, 412, 413, 415, 416];

const checkProblem = Compile(Problem);
const paths = openApiDocument('0').paths as Record<string, Record<string, { responses: object }>>;

const part = fc.constantFrom(
  'a',
  'b',
  'f',
  'g.txt',
  'caf%E9',
  '%FF',
  '%2F',
  '..',
  '%00',
  '.snapshots',
  '',
  '%',
  'ü',
  '%C3%BC',
);
const encodedPath = fc.array(part, { maxLength: 3 }).map((parts) => parts.join('/'));
const textPath = fc.constantFrom(
  '/',
  '/a',
  '/b',
  '/f',
  '/f/a',
  '/f/g',
  '/none/x',
  '',
  '..',
  '/a//b',
  '/\\xFF',
  '\u0000',
  '\ud800',
);
const junk = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.constantFrom('1', '0', '-1', 'true', 'false', '9'.repeat(20), '2026-01-01T00:00:00Z'),
);
const json = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      { from_path: textPath, to_path: textPath, overwrite: fc.boolean(), parents: fc.boolean() },
      { requiredKeys: ['from_path', 'to_path'] },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.record(
      { path: textPath, file_id: fc.integer(), version: fc.integer({ min: -1, max: 4 }), dry_run: fc.boolean() },
      { requiredKeys: [] },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.record(
      {
        mode: fc.integer({ min: -1, max: 5_000 }),
        modified: junk,
        attributes: fc.dictionary(fc.constantFrom('user.a', 'user.', 'x'), fc.option(junk)),
      },
      { requiredKeys: [] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ target: textPath, sample: fc.double(), rebuild_index: fc.boolean() }, { requiredKeys: [] }),
  },
  { weight: 2, arbitrary: fc.jsonValue() },
);
const body = fc.oneof(
  fc.constant(undefined),
  json.map((value) => JSON.stringify(value)),
  fc.string({ maxLength: 30 }),
  fc.constant(`--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--B--`),
);
const headerValue = fc.oneof(
  fc.stringMatching(/^[\x21-\x7e]{1,20}$/),
  fc.constantFrom(
    '"2-1"',
    '"3-1", "2-2"',
    '*',
    'W/"2-1"',
    'bytes=0-1',
    'bytes=-2',
    'bytes=9-',
    '3',
    '644',
    'application/json',
  ),
);

function requestOf(id: RouteId) {
  const route = routeOf(id);
  const names = [...Object.keys(route.query?.properties ?? {}), 'other'];
  const headerNames = [...Object.keys(REQUEST_HEADERS), 'content-type', 'content-encoding', 'content-range'];
  return fc.record({
    id: fc.constant(id),
    method: fc.oneof(
      { weight: 9, arbitrary: fc.constant<string>(route.method) },
      { weight: 1, arbitrary: fc.constantFrom('GET', 'PUT', 'POST', 'OPTIONS') },
    ),
    path: encodedPath,
    node: fc.oneof(fc.integer({ min: 0, max: 9 }).map(String), junk.map(encodeSafely)),
    query: fc.oneof(
      { weight: 2, arbitrary: fc.constant({}) },
      { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...names), fc.oneof(junk, textPath), { maxKeys: 3 }) },
    ),
    headers: fc.dictionary(fc.constantFrom(...headerNames.map((name) => name.toLowerCase())), headerValue, {
      maxKeys: 3,
    }),
    body,
  });
}

function encodeSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

test('no request makes the server fail, and every answer is one that the document names', async () => {
  await using door = await openFakeDoor({ options: { progressMs: 5 } });
  await door.service.write('/f/g', [new Uint8Array(10)], { mode: 'create', parents: true });
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...ROUTE_IDS).chain(requestOf), async (request) => {
      const url = routeOf(request.id)
        .path.replace('{path}', () => encodeURI(request.path.replaceAll('%', '\u0001')).replaceAll('%01', '%'))
        .replace('{id}', () => request.node);
      const query = Object.entries(request.query).map(([name, value]) => `${name}=${encodeSafely(value)}`);
      const target = query.length === 0 ? url : `${url}?${query.join('&')}`;
      const asked = {
        headers: request.headers,
        ...(request.body === undefined ? {} : { body: request.body.toWellFormed() }),
      };
      const told = await door.ask(request.method, target, asked);
      seen.add(`${request.id} ${told.status}`);
      assert.ok(told.status < 500, `${request.method} ${target}: ${told.text}`);
      const own = paths[routeOf(request.id).path]?.[request.method.toLowerCase()]?.responses ?? {};
      assert.ok(
        Object.hasOwn(own, told.status) || ALWAYS.includes(told.status),
        `${request.method} ${target}: ${told.status}`,
      );
      if (told.status >= 400 && request.method !== 'HEAD') assert.ok(checkProblem.Check(told.json), told.text);
    }),
    { numRuns: RUNS },
  );
  assert.deepEqual(
    door.events.filter(({ level }) => level === 'error'),
    [],
  );
  assert.ok(seen.size > 60, `only ${seen.size} kinds of answers were seen`);
});
