/** Forms, cut at every possible place: the parts are the same however the bytes arrive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { Fault } from '../../base/index.ts';
import { boundaryOf, FormReader, type Part, partsOf } from './multipart.ts';

const LIMITS = { partHeaderBytesMax: 1_000 };

interface Flat {
  readonly name: string;
  readonly filename: string | undefined;
  readonly content: string;
}

async function flat(form: Buffer, boundary: string, cut: number): Promise<Flat[]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < form.length; at += cut) yield form.subarray(at, at + cut);
  }
  const found: Flat[] = [];
  for await (const part of partsOf(source(), boundary, LIMITS)) {
    found.push({ name: part.name, filename: part.filename, content: await contentOf(part) });
  }
  return found;
}

async function contentOf(part: Part): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of part.bytes) pieces.push(piece);
  return Buffer.concat(pieces).toString('latin1');
}

async function* inOnePiece(form: Buffer): AsyncGenerator<Uint8Array> {
  yield form;
}

function formOf(boundary: string, parts: readonly Flat[]): Buffer {
  const written = parts.map(({ name, filename, content }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"\r\nContent-Type: text/plain`;
    return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${content}\r\n`;
  });
  return Buffer.from(`${written.join('')}--${boundary}--\r\n`, 'latin1');
}

test('a form has the same parts however its bytes are cut', async () => {
  const content = fc.stringMatching(/^[-\r\nBa]{0,40}$/).filter((text) => !text.includes('\r\n--B'));
  const part = fc.record({
    name: fc.stringMatching(/^[a-z]{1,5}$/),
    filename: fc.option(fc.stringMatching(/^[a-z .]{1,9}$/), { nil: undefined }),
    content,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 4 }), fc.integer({ min: 1, max: 40 }), async (parts, cut) => {
      const wanted = parts.map((one) => ({ ...one }));
      assert.deepEqual(await flat(formOf('B', parts), 'B', cut), wanted);
    }),
    { numRuns: 150 },
  );
});

test('a form that is cut off is refused at every place', async () => {
  const form = formOf('B', [
    { name: 'path', filename: undefined, content: '/a' },
    { name: 'file', filename: 'a', content: 'abc' },
  ]);
  for (let length = 0; length < form.length - '--\r\n'.length; length++) {
    await assert.rejects(flat(form.subarray(0, length), 'B', 7), (error) => Fault.is(error, 'invalid'), `at ${length}`);
  }
});

test('parts that are not read are passed over', async () => {
  const form = formOf('B', [
    { name: 'a', filename: 'x', content: 'long '.repeat(1_000) },
    { name: 'b', filename: undefined, content: 'c' },
  ]);
  const names: string[] = [];
  for await (const part of partsOf(inOnePiece(form), 'B', LIMITS)) names.push(part.name);
  assert.deepEqual(names, ['a', 'b']);
});

test('a file in a form that breaks off is never read to its end, however late it is read', async () => {
  const form = formOf('B', [{ name: 'file', filename: 'a', content: 'abc' }]).subarray(0, -'\r\n--B--\r\n'.length);
  const parts = partsOf(inOnePiece(form), 'B', LIMITS);
  const { value: part } = await parts.next();
  assert.ok(part);
  await setImmediate();
  await assert.rejects(contentOf(part), (error) => Fault.is(error, 'invalid'));
});

test('a source that fails in the middle of a file fails its reader, with the same error', async () => {
  const failure = new Error('the cable was pulled');
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc');
    throw failure;
  }
  const { value: part } = await partsOf(source(), 'B', LIMITS).next();
  assert.ok(part);
  await assert.rejects(contentOf(part), (error) => error === failure);
});

test('a source is asked for a piece only when the reader has taken the one before', async () => {
  let pulledCount = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n');
    for (; pulledCount < 100; pulledCount++) yield Buffer.alloc(1_000, 'x');
    yield Buffer.from('\r\n--B--');
  }
  const { value: part } = await partsOf(source(), 'B', LIMITS).next();
  assert.ok(part);
  let takenCount = 0;
  for await (const _ of part.bytes) {
    await setImmediate();
    assert.ok(pulledCount <= takenCount + 1, `${pulledCount} pieces pulled, ${takenCount} taken`);
    takenCount++;
  }
  assert.equal(pulledCount, 100);
});

test('names of files keep their bytes, in text form', async () => {
  const form = formOf('B', [
    { name: 'f', filename: 'caf\xe9 %22x%22', content: '' },
    { name: 'f', filename: 'caf\xc3\xa9', content: '' },
  ]);
  assert.deepEqual(
    (await flat(form, 'B', 9)).map(({ filename }) => filename),
    ['caf\\xE9 "x"', 'café'],
  );
});

test('what is no form is refused', async () => {
  const wrong = [
    'hello',
    '--B',
    '--Bx\r\n',
    '--B\r\n\r\nno headers\r\n--B--',
    '--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--',
    '--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--',
    `--B\r\nContent-Disposition: form-data; name="${'x'.repeat(2_000)}"\r\n\r\nx\r\n--B--`,
    `--B\r\nContent-Disposition: form-data; name="f"; filename="${'x'.repeat(2_000)}"\r\n\r\nx\r\n--B--`,
    '--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc\r\n--Bx\r\ndef\r\n--B--',
    `${'x'.repeat(5_000)}\r\n--B--`,
  ];
  for (const text of wrong)
    await assert.rejects(flat(Buffer.from(text), 'B', 1_000), (error) => Fault.is(error, 'invalid'), text.slice(0, 30));
});

test('the boundary comes from the type', () => {
  assert.equal(boundaryOf('multipart/form-data; boundary=abc'), 'abc');
  assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="a b"'), 'a b');
  for (const wrong of [undefined, 'text/plain', 'multipart/form-data', 'multipart/mixed; boundary=x']) {
    assert.equal(boundaryOf(wrong), undefined);
  }
});

test('a part that has come whole is read at once, and one that has not when it comes', async () => {
  const form = formOf('B', [
    { name: 'f', filename: 'a', content: 'first' },
    { name: 'f', filename: 'b', content: 'second' },
  ]);
  const cut = form.indexOf('ond');
  async function* source(): AsyncGenerator<Uint8Array> {
    yield form.subarray(0, cut);
    yield form.subarray(cut);
  }
  const reader = new FormReader(source(), 'B', LIMITS);
  assert.equal(reader.tryNext(), undefined, 'nothing has come yet');
  const first = await reader.next();
  assert.equal(first?.filename, 'a');
  assert.equal(Buffer.from(first?.whole() ?? []).toString(), 'first');
  assert.equal(first?.whole(), undefined, 'it is read already');
  const second = reader.tryNext()?.part;
  assert.equal(second?.filename, 'b');
  assert.equal(second?.whole(), undefined);
  assert.ok(second);
  assert.equal(await contentOf(second), 'second');
  assert.deepEqual(reader.tryNext(), { part: undefined });
});
