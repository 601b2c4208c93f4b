/**
 * The OpenAPI 3.1 document, written from the route table and nothing else. Schemas with an `$id` become components, and
 * every place that uses them refers to the component, so that generated clients get one type for one thing.
 */
import { FAULT_CODES, type FaultCode } from '../base/index.ts';
import { HTTP_STATUS, PROBLEM_TYPE } from './problem.ts';
import { Problem } from './records.ts';
import {
  ANSWER_HEADERS,
  ANY_FAULTS,
  REQUEST_HEADERS,
  ROUTE_IDS,
  type Route,
  type RouteBody,
  routeOf,
} from './routes.ts';

type Json = Readonly<Record<string, unknown>>;

const MEDIA_TYPES = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  bytes: 'application/octet-stream',
  html: 'text/html',
  parts: 'multipart/mixed',
} as const;

const TAGS: Readonly<Record<Route['tag'], string>> = {
  Files: 'One file at a time: make, replace, read, change, remove.',
  Folders: 'Make, list and remove folders.',
  Versions: 'What a file was before, and back to it.',
  Snapshots: 'Named moments of a folder; what happened, and back to what was.',
  Trees: 'Move, copy, search and list whole trees.',
  Uploads: 'Files of any size, in parts, that can be gone on with; and URLs that need no other credential.',
  Bulk: 'Thousands of files in one request: up, down, away, and what to do about differences.',
  Locks: 'Keep others from changing something for a while.',
  Store: 'Figures and checks of the whole store.',
  About: 'The server itself and this document.',
};

const DESCRIPTION = [
  'Holdfast keeps files: one deduplicated, compressed, versioned store.',
  'Paths stand in URLs as percent-encoded bytes and in JSON in text form: UTF-8 as it is, every other byte as \\xHH.',
  'Errors are problem documents (RFC 9457) with a stable `code`.',
].join(' ');

/** `version` is the one of the server. */
export function openApiDocument(version: string): Json {
  const components = new Components();
  const paths: Record<string, Record<string, Json>> = {};
  for (const id of ROUTE_IDS) {
    const route = routeOf(id);
    const operations = paths[route.path] ?? {};
    operations[route.method.toLowerCase()] = operationOf(id, route, components);
    paths[route.path] = operations;
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Holdfast', version, description: DESCRIPTION },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: components.schemas },
  };
}

function operationOf(id: string, route: Route, components: Components): Json {
  return {
    operationId: id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    parameters: parametersOf(route, components),
    ...(route.body === undefined ? {} : { requestBody: requestBodyOf(route.body, components) }),
    responses: { ...answersOf(route, components), ...problemsOf(route, components) },
  };
}

function parametersOf(route: Route, components: Components): Json[] {
  const required = new Set<string>(route.query?.required ?? []);
  const inQuery = Object.entries(route.query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.has(name),
    schema: components.use(schema),
  }));
  const inHeaders = (route.headers ?? []).map((name) => ({
    name,
    in: 'header',
    required: false,
    description: REQUEST_HEADERS[name],
    schema: { type: 'string' },
  }));
  return [...inPath(route), ...inQuery, ...inHeaders];
}

function inPath(route: Route): Json[] {
  if (route.path.includes('{id}')) {
    return [{ name: 'id', in: 'path', required: true, schema: { type: 'integer', minimum: 1 } }];
  }
  if (route.path.includes('{upload}')) {
    const names = { name: 'upload', in: 'path', required: true, schema: { type: 'string' } };
    const part = { name: 'part', in: 'path', required: true, schema: { type: 'integer', minimum: 1 } };
    return route.path.includes('{part}') ? [names, part] : [names];
  }
  if (!route.path.includes('{path}')) return [];
  const description = 'The rest of the URL: percent-encoded bytes; slashes plain or as %2F.';
  return [{ name: 'path', in: 'path', required: true, description, schema: { type: 'string' } }];
}

function requestBodyOf(body: RouteBody, components: Components): Json {
  switch (body.type) {
    case 'bytes':
      // An empty schema stands for bytes in OpenAPI 3.1.
      return { description: body.description, required: true, content: { [MEDIA_TYPES.bytes]: {} } };
    case 'json': {
      const example = body.example === undefined ? {} : { example: body.example };
      const content = { [MEDIA_TYPES.json]: { schema: components.use(body.schema), ...example } };
      return { required: body.isOptional !== true, content };
    }
    case 'multipart': {
      if (body.hasMany === true) {
        const properties = { files: { type: 'array', items: {}, description: 'The files.' } };
        return { required: true, content: { 'multipart/form-data': { schema: { type: 'object', properties } } } };
      }
      const fields = components.use(body.fields);
      const properties = { ...(fields.properties as Json), file: { description: 'The content, last.' } };
      const schema = { ...fields, properties, required: ['file'] };
      return { required: true, content: { 'multipart/form-data': { schema } } };
    }
  }
}

function answersOf(route: Route, components: Components): Record<string, Json> {
  const answers: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(route.answers)) {
    const headers = (answer.headers ?? []).map((name) => [
      name,
      { description: ANSWER_HEADERS[name], schema: { type: 'string' } },
    ]);
    const schema = answer.schema === undefined ? {} : { schema: components.use(answer.schema) };
    answers[status] = {
      description: answer.description,
      ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
      ...(answer.type === undefined ? {} : { content: { [MEDIA_TYPES[answer.type]]: schema } }),
    };
  }
  return answers;
}

/** One answer for each status that a fault of this route may have; several codes may share one. */
function problemsOf(route: Route, components: Components): Record<string, Json> {
  const codes = new Map<number, FaultCode[]>();
  for (const code of FAULT_CODES) {
    if (!ANY_FAULTS.includes(code) && route.faults?.includes(code) !== true) continue;
    codes.set(HTTP_STATUS[code], [...(codes.get(HTTP_STATUS[code]) ?? []), code]);
  }
  if (route.headers?.includes('If-Match')) codes.set(412, ['conflict']);
  if (route.body !== undefined) codes.set(413, ['too-large']);
  if (route.body?.type === 'json') codes.set(415, ['unsupported']);
  const content = { [PROBLEM_TYPE]: { schema: components.use(Problem) } };
  return Object.fromEntries(
    [...codes].map(([status, names]) => [
      status,
      { description: names.map((name) => `\`${name}\``).join(', '), content },
    ]),
  );
}

/** Schemas that have a name, each once. */
class Components {
  readonly schemas: Record<string, Json> = {};

  /** The schema as it stands in the document: a reference where it has a name. */
  use(schema: unknown): Json {
    return this.#written(schema) as Json;
  }

  #written(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((part) => this.#written(part));
    if (typeof value !== 'object' || value === null) return value;
    const { $id: name, ...rest } = value as Record<string, unknown>;
    const plain = Object.fromEntries(Object.entries(rest).map(([key, part]) => [key, this.#written(part)]));
    if (typeof name !== 'string') return plain;
    this.schemas[name] = plain;
    return { $ref: `#/components/schemas/${name}` };
  }
}
