/**
 * Words and lines that compress and repeat about as real ones do, from a seed. Identifiers are drawn with Zipf's
 * frequencies from a vocabulary of the world and a small one of the file; lines are drawn from few forms. That is what
 * gives zstd level 1 a ratio of about 4 on source, 5 on logs, and leaves hardly a run of 16 KiB twice.
 */
import { type Random, seededRandom } from '../src/base/index.ts';

const SYLLABLES =
  'a al an ar be ca ce co con da de di do e el en er es ex fa fi for ge he i id in io is it la le li lo ma me mi mo na ne no o on or par pe po pre pro re ri ro sa se si so sta str sub ta te ti to tor tra tri u un ur us va ve vi wa'.split(
    ' ',
  );
const WORLD_WORDS = 6_000;
const FILE_WORDS = 80;
/** Share of words that come from the file's own vocabulary. */
const OWN_SHARE = 0.75;
/** Zipf's frequencies, once: drawing is a look-up. */
const DRAWS = 8_192;
/** Text is handed out in pieces of about this many bytes. */
const PIECE_BYTES = 64 * 1024;

function zipfTable(count: number): Uint16Array {
  return Uint16Array.from({ length: DRAWS }, (_, at) => Math.floor(count ** ((at + 0.5) / DRAWS)) - 1);
}

const WORLD_TABLE = zipfTable(WORLD_WORDS);
const FILE_TABLE = zipfTable(FILE_WORDS);

function newWord(random: Random): string {
  const syllable = (): string => SYLLABLES[random.below(SYLLABLES.length)] ?? 'a';
  const first = Array.from({ length: 1 + random.below(3) }, syllable).join('');
  if (random.fraction() < 0.6) return first;
  const second = Array.from({ length: 1 + random.below(2) }, syllable).join('');
  return first + second.charAt(0).toUpperCase() + second.slice(1);
}

const world = ((): readonly string[] => {
  const random = seededRandom(1);
  return Array.from({ length: WORLD_WORDS }, () => newWord(random));
})();

/** Draws words as one file would. */
function newPen(random: Random): () => string {
  const own = Array.from({ length: FILE_WORDS }, () => newWord(random));
  return () =>
    random.fraction() < OWN_SHARE
      ? (own[FILE_TABLE[random.below(DRAWS)] ?? 0] ?? 'x')
      : (world[WORLD_TABLE[random.below(DRAWS)] ?? 0] ?? 'x');
}

/** Writes one line, its newline included. */
type LineOf = (random: Random, word: () => string) => string;

const SOURCE_FORMS: readonly LineOf[] = [
  (_, word) => `const ${word()} = ${word()}.${word()}(${word()}, ${word()});\n`,
  (_, word) => `  if (${word()} === undefined) return ${word()};\n`,
  (_, word) => `  ${word()}.${word()} = ${word()}[${word()}];\n`,
  (_, word) => `export function ${word()}(${word()}: ${word()}, ${word()}: ${word()}): ${word()} {\n`,
  (_, word) => `    for (const ${word()} of ${word()}.${word()}) {\n`,
  () => '  }\n',
  () => '}\n\n',
  (_, word) => `  return ${word()}(${word()}, ${word()}.${word()});\n`,
  (_, word) =>
    `  // ${word()} ${word()} the ${word()} of ${word()} ${word()} and ${word()} ${word()} when ${word()} is ${word()}.\n`,
  (random, word) => `  static ${word()} = ${random.below(4096)};\n`,
  (_, word) => `import { ${word()}, ${word()} } from './${word()}/${word()}.js';\n`,
  (_, word) => `  throw new Error('${word()} ${word()} ${word()} has no ${word()}');\n`,
];

const sourceLine: LineOf = (random, word) =>
  (SOURCE_FORMS[random.below(SOURCE_FORMS.length)] ?? sourceLine)(random, word);

const LEVELS = ['INFO', 'INFO', 'INFO', 'INFO', 'DEBUG', 'DEBUG', 'WARN', 'ERROR'];

/** A server's log: time goes on, paths and clients repeat, identifiers do not. */
function logLines(random: Random): LineOf {
  let ms = Date.UTC(2026, 0, 1) + random.below(2 ** 31);
  return (_, word) => {
    ms += random.below(40);
    const level = LEVELS[random.below(LEVELS.length)];
    const request = random
      .below(2 ** 32)
      .toString(16)
      .padStart(8, '0');
    const client = `10.${random.below(4)}.${random.below(16)}.${random.below(256)}`;
    return `${new Date(ms).toISOString()} ${level} [worker-${random.below(8)}] ${client} "GET /api/${word()}/${word()}/${random.below(10_000)} HTTP/1.1" ${random.below(20) === 0 ? 404 : 200} ${random.below(65_536)} ${request} ${word()}\n`;
  };
}

/** Half the rows are JSON records, half are CSV with numbers that wander. */
function recordLines(random: Random): LineOf {
  let [id, value] = [random.below(1_000_000), 1000];
  const isJson = random.below(2) === 0;
  return (_, word) => {
    id += 1 + random.below(3);
    value += random.below(21) - 10;
    const [score, flag] = [(random.below(100_000) / 1000).toFixed(3), random.below(4) !== 0];
    return isJson
      ? `{"id":${id},"name":"${word()} ${word()}","kind":"${word()}","value":${value},"score":${score},"active":${flag},"tags":["${word()}","${word()}"]}\n`
      : `${id},${word()},${word()},${value},${score},${flag ? 1 : 0},2026-0${1 + random.below(9)}-${10 + random.below(19)}\n`;
  };
}

const TEXTS = { source: () => sourceLine, log: logLines, records: recordLines };
export type TextKind = keyof typeof TEXTS;

/** Exactly `bytes` bytes of ASCII. */
export function* textOf(kind: TextKind, seed: number, bytes: number): Generator<Buffer, void> {
  const random = seededRandom(seed);
  const word = newPen(random);
  const line = TEXTS[kind](random);
  for (let left = bytes; left > 0; ) {
    let text = '';
    while (text.length < Math.min(PIECE_BYTES, left)) text += line(random, word);
    const piece = Buffer.from(text, 'latin1').subarray(0, left);
    left -= piece.length;
    yield piece;
  }
}

/** A name such as a file or folder has. */
export function nameFrom(random: Random): string {
  return world[WORLD_TABLE[random.below(DRAWS)] ?? 0] ?? 'x';
}
