/**
 * What the parser of HTTP refuses: it never becomes a request, so no handler and no router sees it. It is answered by
 * hand, as a problem document like every other error, and the connection ends with it.
 */
import type { Socket } from 'node:net';
import { PROBLEM_TYPE, problemOfFault } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';

/** What the parser refuses never becomes a request, so it is answered here, by hand. */
export function refuseRaw(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, fault] = rawFaultOf(error);
  const body = JSON.stringify(problemOfFault(fault, { request: '-', status }));
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function rawFaultOf(error: NodeJS.ErrnoException): [status: number, reason: string, fault: Fault] {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const sentence = 'The request line and headers are longer than this server takes. Send fewer or shorter ones.';
    return [431, 'Request Header Fields Too Large', new Fault('too-large', sentence, {}, error)];
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return [408, 'Request Timeout', new Fault('timeout', 'The headers of the request took too long.', {}, error)];
  }
  if (error.code === 'HPE_INVALID_EOF_STATE') {
    return [
      400,
      'Bad Request',
      new Fault('aborted', 'The request ended before it was whole. Nothing of it was kept.', {}, error),
    ];
  }
  return [
    400,
    'Bad Request',
    new Fault('invalid', `This is not HTTP/1.1: ${error.message}.`, { reason: error.code }, error),
  ];
}
