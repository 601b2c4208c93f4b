/**
 * The HTTP interface as data: every route with its method, path, query, headers, body and answers. The door routes and
 * checks requests by this table, the client builds its requests from it, and the OpenAPI document is written from it, so
 * that the three cannot differ. A `{path}` at the end of a route is the rest of the URL: percent-encoded bytes, slashes
 * plain or as %2F (path.ts). Query values are text: booleans are `true` or `false`, and a bare name means true.
 */

import { Fault } from '../base/index.ts';
import { BULK_ROUTES } from './routes/bulk-routes.ts';
import { FILE_ROUTES } from './routes/file-routes.ts';
import { FOLDER_ROUTES } from './routes/folder-routes.ts';
import { LOCK_ROUTES } from './routes/lock-routes.ts';
import { PAST_ROUTES } from './routes/past-routes.ts';
import type { Route } from './routes/route.ts';
import { STORE_ROUTES } from './routes/store-routes.ts';
import { TREE_ROUTES } from './routes/tree-routes.ts';
import { UPLOAD_ROUTES } from './routes/upload-routes.ts';
import type { Static, TObject } from './schema.ts';

export { UPLOAD_FIELDS, type UploadFields } from './routes/file-routes.ts';
export {
  ANSWER_HEADERS,
  ANY_FAULTS,
  type HttpMethod,
  REQUEST_HEADERS,
  type Route,
  type RouteAnswer,
  type RouteBody,
} from './routes/route.ts';
export type { CheckLine, GcLine, RepairLine } from './routes/store-routes.ts';

/** In the order of the documents. */
export const ROUTES = {
  ...FILE_ROUTES,
  ...FOLDER_ROUTES,
  ...PAST_ROUTES,
  ...TREE_ROUTES,
  ...UPLOAD_ROUTES,
  ...LOCK_ROUTES,
  ...BULK_ROUTES,
  ...STORE_ROUTES,
} as const satisfies Readonly<Record<string, Route>>;

export type RouteId = keyof typeof ROUTES;
export const ROUTE_IDS = Object.keys(ROUTES) as readonly RouteId[];

/** The same table, for code that treats all routes alike. */
export function routeOf(id: RouteId): Route {
  return ROUTES[id];
}

/** Query of a route as it is after parsing: numbers and booleans instead of text. */
export type QueryOf<Id extends RouteId> = (typeof ROUTES)[Id] extends { readonly query: infer Q extends TObject }
  ? Static<Q>
  : Record<string, never>;

/** JSON body of a route. */
export type BodyOf<Id extends RouteId> = (typeof ROUTES)[Id] extends {
  readonly body: { readonly type: 'json'; readonly schema: infer S extends TObject };
}
  ? Static<S>
  : undefined;

type QueryValue = string | number | boolean | undefined;

/** URL of a route from its root: `encodedPath` for `{path}` as urlOfPath writes it, `id` for `{id}`, `upload` and `part` likewise. */
export function urlOfRoute(
  id: RouteId,
  parameters: {
    readonly path?: string | undefined;
    readonly id?: number | undefined;
    readonly upload?: string | undefined;
    readonly part?: number | undefined;
    readonly query?: object | undefined;
  } = {},
): string {
  const url = routeOf(id)
    .path.replace('{path}', () => parameters.path ?? '')
    .replace('{id}', () => String(parameters.id ?? ''))
    .replace('{upload}', () => encodeURIComponent(parameters.upload ?? ''))
    .replace('{part}', () => String(parameters.part ?? ''));
  const query = Object.entries((parameters.query ?? {}) as Record<string, QueryValue>)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodedValue(name, String(value))}`)
    .join('&');
  return query === '' ? url : `${url}?${query}`;
}

function encodedValue(name: string, value: string): string {
  if (value.isWellFormed()) return encodeURIComponent(value);
  throw new Fault('invalid', `The ${name} has half a surrogate pair, which no URL can hold.`, { parameter: name });
}
