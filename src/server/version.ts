/** Which Holdfast this is, from its package.json alone, so that no two places say it. */
import { readFileSync } from 'node:fs';

let known: string | undefined;

/** `0.1.0`; read when first asked for. */
export function holdfastVersion(): string {
  known ??= versionOf(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')));
  return known;
}

function versionOf(manifest: unknown): string {
  const version: unknown = (manifest as { readonly version?: unknown }).version;
  return typeof version === 'string' ? version : '0.0.0';
}
