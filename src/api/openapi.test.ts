/** The document says one thing about everything it names, and names nothing that is not there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_CODES, Fault } from '../base/index.ts';
import { openApiDocument } from './openapi.ts';
import { FAULT_MEANINGS, faultOfProblem, HTTP_STATUS, problemOfFault } from './problem.ts';
import { ANSWER_HEADERS, REQUEST_HEADERS, ROUTE_IDS, routeOf, urlOfRoute } from './routes.ts';

type Json = Record<string, unknown>;

const document = JSON.parse(JSON.stringify(openApiDocument('1.2.3'))) as Json;
const operations = Object.entries(document.paths as Record<string, Record<string, Json>>).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

function* within(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const part of Object.values(value)) yield* within(part);
}

test('every route is in the document once, under its own id', () => {
  assert.deepEqual(operations.map(({ operation }) => operation.operationId).sort(), [...ROUTE_IDS].sort());
  assert.equal(document.openapi, '3.1.0');
  assert.equal((document.info as Json).version, '1.2.3');
});

test('every reference points to a schema, and every schema is referred to', () => {
  const { schemas } = document.components as { schemas: Json };
  const used = new Set<string>();
  for (const part of within(document)) {
    assert.equal(part.$id, undefined, 'ids would change what references mean');
    if (typeof part.$ref !== 'string') continue;
    const name = /^#\/components\/schemas\/(\w+)$/.exec(part.$ref)?.[1] ?? '';
    assert.ok(Object.hasOwn(schemas, name), part.$ref);
    used.add(name);
  }
  assert.deepEqual([...used].sort(), Object.keys(schemas).sort());
});

test('the parameters of a path are exactly those it has', () => {
  for (const { path, operation } of operations) {
    const parameters = operation.parameters as { name: string; in: string; required: boolean; schema: Json }[];
    const named = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => `{${name}}`);
    assert.deepEqual(named, path.match(/\{\w+\}/g) ?? [], path);
    const keys = parameters.map((parameter) => `${parameter.in}:${parameter.name.toLowerCase()}`);
    assert.equal(new Set(keys).size, keys.length, `${path}: a parameter twice`);
    assert.ok(parameters.every(({ schema }) => typeof schema === 'object'));
  }
});

test('every operation answers at least one success, and problems for every fault', () => {
  for (const { operation } of operations) {
    const answers = operation.responses as Record<string, { description: string; content?: Json }>;
    assert.ok(Object.keys(answers).some((status) => /^[23]/.test(status)));
    for (const [status, answer] of Object.entries(answers)) {
      assert.ok(answer.description.length > 0);
      if (Number(status) >= 400) assert.ok(answer.content?.['application/problem+json'] !== undefined);
    }
  }
});

test('headers that routes name are described, and described ones are used', () => {
  const asked = new Set(ROUTE_IDS.flatMap((id) => routeOf(id).headers ?? []));
  const told = new Set(
    ROUTE_IDS.flatMap((id) => Object.values(routeOf(id).answers).flatMap(({ headers }) => headers ?? [])),
  );
  assert.deepEqual([...asked].sort(), Object.keys(REQUEST_HEADERS).sort());
  assert.deepEqual([...told].sort(), Object.keys(ANSWER_HEADERS).sort());
});

test('no two routes answer the same request', () => {
  const keys = ROUTE_IDS.map((id) => `${routeOf(id).method} ${routeOf(id).path}`);
  assert.equal(new Set(keys).size, keys.length);
});

test('the URL of a route has its parameters in it', () => {
  assert.equal(
    urlOfRoute('fileRead', { path: 'a/%FF', query: { version: 3, x: undefined } }),
    '/v1/files/a/%FF?version=3',
  );
  assert.equal(urlOfRoute('fileRead', { path: "$&$'" }), "/v1/files/$&$'");
  assert.equal(urlOfRoute('versionListById', { id: 7 }), '/v1/file/7/versions');
  assert.equal(
    urlOfRoute('search', { query: { pattern: 'ä &=', recursive: false } }),
    '/v1/search?pattern=%C3%A4%20%26%3D&recursive=false',
  );
  assert.throws(
    () => urlOfRoute('search', { query: { pattern: '\ud800' } }),
    (error) => Fault.is(error, 'invalid'),
  );
});

test('every fault goes over the wire and comes back as itself', () => {
  for (const code of FAULT_CODES) {
    const fault = new Fault(code, 'Something happened to something.', { path: '/a', n: 1, big: 2n });
    const problem = JSON.parse(JSON.stringify(problemOfFault(fault, { request: 'r' }))) as Json;
    const back = faultOfProblem(problem);
    assert.deepEqual([back?.code, back?.message], [code, fault.message]);
    assert.deepEqual(back?.about, { path: '/a', n: 1, big: '2' });
    assert.equal(problem.status, HTTP_STATUS[code]);
    assert.ok(HTTP_STATUS[code] >= 400 && HTTP_STATUS[code] < 600);
    assert.ok(FAULT_MEANINGS[code].title.length > 0);
  }
});

test('what is no problem document is no fault', () => {
  for (const wrong of [null, 1, 'x', {}, { code: 'none', detail: 'x' }, { code: 'io' }, { code: 1, detail: 2 }]) {
    assert.equal(faultOfProblem(wrong), undefined);
  }
  const cyclic: Json = {};
  cyclic.self = cyclic;
  assert.deepEqual(problemOfFault(new Fault('io', 'x', cyclic), { request: 'r' }).about, {});
});
