/**
 * One request with what the route table says about it: its path, query and body read and checked, the service in the
 * caller's name, and a signal that fires when the client goes away. Handlers get nothing of HTTP but what they ask for.
 */
import type { IncomingMessage } from 'node:http';
import {
  type BodyOf,
  type FileRecord,
  type FileService,
  type Path,
  pathOfUrl,
  type QueryOf,
  type Route,
  type RouteId,
  routeOf,
  textOfPath,
  urlOfPath,
} from '../../api/index.ts';
import { type Clock, Fault, type Random } from '../../base/index.ts';
import type { HttpOptions } from '../options.ts';
import type { Answer } from './answer.ts';
import { arrivalOf } from './arrival.ts';
import { type Expectation, expectationOf, needsRecord } from './conditions.ts';
import { bodyChecker, jsonOf, queryReader } from './query.ts';
import type { UrlSigner } from './signed-urls.ts';
import { smallBodyOf, uploadOf } from './upload-body.ts';
import { checkEncoding, type Sized } from './write-headers.ts';

/** What a door hands to every request. */
export interface DoorParts {
  readonly random: Random;
  readonly clock: Clock;
  readonly options: HttpOptions;
  readonly signer: UrlSigner;
  readonly info: () => Promise<HealthFacts> | HealthFacts;
  readonly isDraining: () => boolean;
}

/** What the server says about itself; the door adds whether it is draining. */
export interface HealthFacts {
  readonly version: string;
  readonly store_id: string;
  readonly uptime_seconds: number;
}

/** What stands for the names in a route, as text. */
export interface UrlNames {
  readonly id?: string | undefined;
  readonly upload?: string | undefined;
  readonly part?: string | undefined;
}

export class Exchange<Id extends RouteId = RouteId> {
  readonly message: IncomingMessage;
  readonly service: FileService;
  readonly signal: AbortSignal;
  readonly door: DoorParts;
  readonly query: QueryOf<Id>;
  readonly #rules: RouteRules;
  readonly #names: UrlNames;
  #path: Path | undefined;

  constructor(parts: {
    readonly message: IncomingMessage;
    readonly service: FileService;
    readonly signal: AbortSignal;
    readonly door: DoorParts;
    readonly rules: RouteRules;
    readonly names: UrlNames;
  }) {
    this.message = parts.message;
    this.service = parts.service;
    this.signal = parts.signal;
    this.door = parts.door;
    this.#rules = parts.rules;
    this.#names = parts.names;
    if (parts.names.id !== undefined) idOf(parts.names.id);
    this.query = parts.rules.readQuery(arrivalOf(parts.message).query) as QueryOf<Id>;
  }

  get headers(): IncomingMessage['headers'] {
    return this.message.headers;
  }

  /** What stands for `{path}`, in text form. @throws Fault `invalid`. */
  get path(): string {
    return textOfPath(this.#readPath());
  }

  /** The same, as it stands in a URL. */
  get urlPath(): string {
    return urlOfPath(this.#readPath());
  }

  /** What stands for `{id}`. */
  get id(): number {
    return idOf(this.#names.id ?? '');
  }

  /** What stands for `{upload}`. */
  get upload(): string {
    return this.#names.upload ?? '';
  }

  /** What stands for `{part}`. @throws Fault `invalid`. */
  get part(): number {
    const { part = '' } = this.#names;
    if (/^\d{1,9}$/.test(part)) return Number(part);
    throw new Fault('invalid', `${JSON.stringify(part.slice(0, 100))} is not the number of a part.`, {});
  }

  #readPath(): Path {
    this.#path ??= pathOfUrl(arrivalOf(this.message).encodedPath ?? '');
    return this.#path;
  }

  /** The JSON body, checked. @throws Fault `invalid`, `too-large`, `unsupported`. */
  async body(bytesMax: number = this.door.options.jsonBytesMax): Promise<BodyOf<Id>> {
    const { body, checkBody } = this.#rules;
    checkEncoding(this.headers);
    const bytes = await smallBodyOf(this.message, bytesMax);
    if (bytes.length === 0 && body?.type === 'json' && body.isOptional === true) return {} as BodyOf<Id>;
    checkJsonType(this.headers['content-type']);
    const value = jsonOf(bytes);
    checkBody?.(value);
    return value as BodyOf<Id>;
  }

  /** The body as bytes of a file. @throws Fault `unsupported` for an encoded one. */
  source(bytesMax: number = this.door.options.fileBytesMax, what: Sized = 'file'): AsyncIterable<Uint8Array> {
    checkEncoding(this.headers);
    return uploadOf(this.message, bytesMax, what);
  }

  /**
   * What the headers and the query (or the body) expect of the file. `find` tells what is there, when a header needs it.
   * @throws Fault `conflict` when it is known to be false.
   */
  async expectation(
    named: { readonly expected_version?: number; readonly expected_file_id?: number },
    find: () => Promise<FileRecord | undefined>,
  ): Promise<Expectation> {
    const fromHeaders = expectationOf(this.headers, needsRecord(this.headers) ? await find() : undefined);
    return {
      ...(named.expected_version === undefined ? {} : { expectedVersion: named.expected_version }),
      ...(named.expected_file_id === undefined ? {} : { expectedId: named.expected_file_id }),
      ...fromHeaders,
    };
  }
}

function idOf(text: string): number {
  const id = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (id >= 1 && id <= Number.MAX_SAFE_INTEGER) return id;
  throw new Fault('invalid', `${JSON.stringify(text.slice(0, 100))} is not the id of a file.`, {
    id: text.slice(0, 100),
  });
}

function checkJsonType(type: string | undefined): void {
  if (type === undefined || /^application\/(json|[a-z0-9.+-]+\+json)\s*(;|$)/i.test(type)) return;
  throw new Fault('unsupported', `This request takes application/json, not ${type.slice(0, 100)}.`, {
    content_type: type.slice(0, 100),
  });
}

/** What the route table says about one route, compiled once. */
export interface RouteRules {
  readonly body: ReturnType<typeof routeOf>['body'];
  readonly readQuery: (query: string) => Record<string, unknown>;
  readonly checkBody: ((value: unknown) => void) | undefined;
}

const rulesByRoute = new Map<RouteId, RouteRules>();

/** Compiled at the first use: a schema takes a while, and most runs of a command need few. */
export function rulesOf(id: RouteId): RouteRules {
  const known = rulesByRoute.get(id);
  if (known !== undefined) return known;
  const { query, body } = routeOf(id);
  const checkBody = body?.type === 'json' ? bodyChecker(body.schema) : undefined;
  const rules = { body, readQuery: queryReader(query, namesInBody(body)), checkBody };
  rulesByRoute.set(id, rules);
  return rules;
}

/** For those who send them in the query. */
function namesInBody(body: Route['body']): { names: readonly string[]; where: string } | undefined {
  if (body?.type === 'json') return { names: Object.keys(body.schema.properties), where: 'JSON of the body' };
  if (body?.type !== 'multipart') return undefined;
  return { names: Object.keys(body.fields.properties), where: 'form, as a field before the file' };
}

export type Handler<Id extends RouteId> = (exchange: Exchange<Id>) => Promise<Answer> | Answer;
export type Handlers = { readonly [Id in RouteId]: Handler<Id> };
