/** Who a lock taken on the command line belongs to, when nothing else is said: the user and the machine. */
import { hostname, userInfo } from 'node:os';

export function lockHolder(given: string | undefined): string {
  return given ?? `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without a name.
    return `user ${process.getuid?.() ?? ''}`.trim();
  }
}
