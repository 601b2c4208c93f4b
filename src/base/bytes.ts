/** Bytes as every room needs them: comparing, joining, hex, and text. Browser-safe; a Uint8Array may be shared memory. */

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));
const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const EMPTY_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Byte-wise order, a prefix before what it begins: < 0, 0 or > 0. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Lower-case hex, two digits a byte. */
export function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** `undefined` when the text is not hex of whole bytes. */
export function bytesOfHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** Names are mostly this short and ASCII, and then made text of without the decoder, which costs ten times as much. */
const SHORT_BYTES_MAX = 96;

/** `undefined` when the bytes are not well-formed UTF-8. */
export function textOfUtf8(bytes: Uint8Array): string | undefined {
  if (bytes.length <= SHORT_BYTES_MAX && isAscii(bytes))
    return String.fromCharCode.apply(null, bytes as unknown as number[]);
  try {
    // TextDecoder refuses shared memory; names and headers are short, so a copy is cheap.
    return strictDecoder.decode(bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice());
  } catch {
    return undefined;
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] ?? 0) > 0x7f) return false;
  return true;
}
