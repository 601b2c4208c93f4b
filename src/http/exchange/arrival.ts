/**
 * A request as it arrives: who may send it, and its URL taken apart before any router sees it. The path of a file is
 * arbitrary bytes in percent-encoding, which routers refuse or decode as text, so it is cut off here and kept as it
 * came; the router sees `/v1/files/` alone.
 *
 * TCP listeners answer to their own names only: a foreign Host is a page that had its name point here (DNS rebinding), a
 * foreign Origin is a page that tries to use what listens on this machine. The control socket has file permissions
 * instead and skips both checks.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { ROUTE_IDS, routeOf } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';

/** One place where the door listens. */
export interface Entrance {
  /** Name of the door in commits and logs. */
  readonly door: string;
  /** Whether a Host may be addressed here; absent on the control socket. */
  readonly isOwnHost?: (host: string) => boolean;
}

export interface Arrival {
  readonly entrance: Entrance;
  /** Id of the request. */
  readonly request: string;
  /** What stands for `{path}`, percent-encoded; absent on routes without one. */
  readonly encodedPath: string | undefined;
  readonly query: string;
  /** Of an absolute request target, which counts more than the Host header (RFC 9112 §3.2.2). */
  readonly authority: string | undefined;
  /** Tells a client that waits with its body to send it; absent when it does not wait, or has been told. */
  goOn: (() => void) | undefined;
  /** Bytes of the body that have come. */
  bodyBytes: number;
  /** Those of them that nobody has taken yet. */
  waitingBytes: number;
  /** Has whoever reads the body meet this fault; absent while nobody reads it. */
  breakBody?: (fault: Fault) => void;
  /** Nobody waits for the rest of it any more. */
  isBroken?: boolean;
  /** Ends the reading of the body; absent while nobody reads it. */
  leaveBody?: () => void;
}

const ARRIVAL = Symbol('arrival');
type ArrivedMessage = IncomingMessage & { [ARRIVAL]?: Arrival };

const PATH_PREFIXES: readonly string[] = [
  ...new Set(
    ROUTE_IDS.map((id) => routeOf(id).path)
      .filter((path) => path.endsWith('/{path}'))
      .map((path) => path.slice(0, -'/{path}'.length)),
  ),
];

export interface UrlParts {
  /** What the router sees. */
  readonly route: string;
  readonly encodedPath: string | undefined;
  readonly query: string;
  readonly authority: string | undefined;
}

export function partsOfUrl(target: string): UrlParts {
  const absolute = target.startsWith('/') ? null : /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  const url = absolute === null ? target : (absolute[2] ?? '') || '/';
  const authority = absolute?.[1];
  const mark = url.indexOf('?');
  const pathname = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? '' : url.slice(mark + 1);
  for (const prefix of PATH_PREFIXES) {
    if (!pathname.startsWith(prefix)) continue;
    if (pathname.length === prefix.length) return { route: `${prefix}/`, encodedPath: '', query, authority };
    if (pathname[prefix.length] !== '/') continue;
    return { route: `${prefix}/`, encodedPath: pathname.slice(prefix.length + 1), query, authority };
  }
  return { route: pathname, encodedPath: undefined, query, authority };
}

export function setArrival(message: IncomingMessage, arrival: Arrival): void {
  (message as ArrivedMessage)[ARRIVAL] = arrival;
}

export function arrivalOf(message: IncomingMessage): Arrival {
  const arrival = (message as ArrivedMessage)[ARRIVAL];
  if (arrival === undefined) throw new Error('Broken invariant: a request came past the entrance.');
  return arrival;
}

/** @throws Fault `denied` for a foreign Host or Origin, `invalid` without a Host. */
export function checkSender(arrival: Arrival, headers: IncomingHttpHeaders): void {
  const { isOwnHost } = arrival.entrance;
  if (isOwnHost === undefined) return;
  const host = arrival.authority ?? headers.host;
  if (host === undefined || host === '') {
    throw new Fault('invalid', 'The request has no Host header. HTTP/1.1 asks for one.', {});
  }
  if (!isOwnHost(host)) {
    const sentence = `This server does not answer under the name ${JSON.stringify(host.slice(0, 300))}. Use 127.0.0.1 or localhost, or add the name to the option http.allowed_hosts.`;
    throw new Fault('denied', sentence, { host: host.slice(0, 300) });
  }
  checkOrigin(headers, isOwnHost);
}

function checkOrigin(headers: IncomingHttpHeaders, isOwnHost: (host: string) => boolean): void {
  const { origin } = headers;
  if (origin !== undefined) {
    const match = /^https?:\/\/([^/?#]+)$/i.exec(origin);
    if (match === null || !isOwnHost(match[1] ?? '')) refusePage(origin);
    return;
  }
  // Browsers send no Origin with plain GETs of images and scripts, but say where they come from.
  if (headers['sec-fetch-site'] === 'cross-site' && headers['sec-fetch-mode'] !== 'navigate')
    refusePage('another site');
}

function refusePage(origin: string): never {
  const shown = origin.slice(0, 300);
  throw new Fault('denied', `A page of ${JSON.stringify(shown)} may not use this server; only its own pages may.`, {
    origin: shown,
  });
}

/** Which names a TCP listener answers to: itself on its port, and further names on it or on the port they give. */
export function ownHosts(port: number, further: readonly string[]): (host: string) => boolean {
  const names = ['127.0.0.1', 'localhost', '[::1]', ...further.map((name) => name.toLowerCase())];
  const known = new Set(names.flatMap((name) => (/:\d+$/.test(name) ? [name] : [`${name}:${port}`])));
  // A proxy in front, or the standard port, leaves the port out.
  for (const name of further) known.add(name.toLowerCase());
  if (port === 80) for (const name of names) known.add(name);
  return (host) => known.has(host) || known.has(host.toLowerCase());
}
