/** Options: reading, resolving, origins, mistakes, and the texts that come from the table. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bytesCountOfText,
  completionOfOptions,
  durationMsOfText,
  Fault,
  helpOfOptions,
  markdownOfOptions,
  mistakesOfTable,
  nearest,
  type OptionSources,
  type OptionTable,
  type OptionType,
  readArguments,
  resolveOptions,
  rowsOfOptions,
  textOfBytesCount,
  textOfDurationMs,
  textOfOrigin,
  valueOfData,
  valueOfWord,
  wordOfValue,
} from './index.ts';

const TABLE = {
  store: {
    type: { kind: 'text', holds: 'folder' },
    default: './data',
    doc: 'The folder of the store.',
    flags: ['--store', '-s'],
  },
  'http.port': { type: { kind: 'integer', min: 0, max: 65_535 }, default: 8420, doc: 'The port.' },
  'http.body_max': {
    type: { kind: 'bytes', min: 1, max: 2 ** 40, words: ['none'] },
    default: 'none',
    doc: 'Most bytes.',
  },
  'http.wait': { type: { kind: 'duration', minMs: 0, maxMs: 86_400_000 }, default: 10_000, doc: 'How long.' },
  'http.hosts': {
    type: { kind: 'list', countMax: 4, example: 'a.example' },
    default: [],
    doc: 'Who may ask.',
    flags: ['--host'],
  },
  verbose: { type: { kind: 'boolean' }, default: false, doc: 'Say more.', flags: ['--verbose', '-v'] },
  color: { type: { kind: 'boolean' }, default: true, doc: 'In colour.', flags: ['--color'] },
  memory: { type: { kind: 'choice', values: ['normal', 'small'] }, default: 'normal', doc: 'How much memory.' },
  token: { type: { kind: 'text' }, default: undefined, doc: 'A secret.', secret: true, flags: [] },
  level: {
    type: { kind: 'integer', min: -7, max: 19, except: [-1], words: ['none'] },
    default: 1,
    doc: 'How hard.',
    flags: ['-l', '--level'],
  },
  rules: {
    type: {
      kind: 'tables',
      countMax: 2,
      columns: { match: { kind: 'text' }, level: { kind: 'integer', min: 1, max: 19, words: ['none'] } },
    },
    default: [],
    doc: 'Rules.',
  },
} as const satisfies OptionTable;

function resolved(sources: OptionSources) {
  return resolveOptions(TABLE, sources);
}

function mistakesOf(sources: OptionSources): string {
  try {
    resolved(sources);
  } catch (error) {
    assert.ok(Fault.is(error, 'invalid'));
    return error.message;
  }
  return '';
}

test('options take the default, then the file, the environment and the flags, and keep the origin', () => {
  const file = {
    path: '/etc/h.toml',
    data: { http: { port: 1 }, memory: 'small' },
    lineOf: (key: string) => (key === 'http.port' ? 2 : undefined),
  };
  const at = (sources: OptionSources): [number, string] => {
    const { values, origins } = resolved(sources);
    const port: number = values['http.port'];
    return [port, textOfOrigin(origins['http.port'])];
  };
  assert.deepEqual(at({}), [8420, 'default']);
  assert.deepEqual(at({ file }), [1, 'file /etc/h.toml line 2']);
  const environment = { HOLDFAST_HTTP_PORT: '2', HOME: '/root', HOLDFAST_STORE: '' };
  assert.deepEqual(at({ file, environment }), [2, 'environment HOLDFAST_HTTP_PORT']);
  const { flags } = readArguments(TABLE, ['--http-port', '3']);
  assert.deepEqual(at({ file, environment, flags }), [3, 'flag --http-port']);
  assert.equal(resolved({ file }).values.memory, 'small');
  assert.equal(textOfOrigin(resolved({ file }).origins.memory), 'file /etc/h.toml');
  assert.equal(resolved({ environment }).values.store, './data', 'an empty variable counts as not set');
});

test('values are read from words and from data alike when they are right', () => {
  const { values } = resolved({
    file: {
      path: 'f',
      data: {
        http: { body_max: '64MiB', wait: '1m', hosts: ['a', 'b'] },
        rules: [{ match: '*.gz', level: 'none' }],
        level: 'none',
      },
    },
  });
  assert.equal(values['http.body_max'], 64 * 2 ** 20);
  assert.equal(values['http.wait'], 60_000);
  assert.deepEqual(values['http.hosts'], ['a', 'b']);
  assert.deepEqual(values.rules, [{ match: '*.gz', level: 'none' }]);
  assert.equal(values.level, 'none');
  const environment = {
    HOLDFAST_HTTP_BODY_MAX: '100',
    HOLDFAST_HTTP_HOSTS: 'a, b',
    HOLDFAST_VERBOSE: 'yes',
    HOLDFAST_RULES: '[{"match":"x","level":3}]',
    HOLDFAST_LEVEL: '-5',
    HOLDFAST_TOKEN: 'hush',
  };
  const other = resolved({ environment }).values;
  assert.equal(other['http.body_max'], 100);
  assert.deepEqual(other['http.hosts'], ['a', 'b']);
  assert.equal(other.verbose, true);
  assert.deepEqual(other.rules, [{ match: 'x', level: 3 }]);
  assert.equal(other.level, -5);
  assert.equal(other.token, 'hush');
});

test('columns with a default may be left out of a table, and a slip in a name is told the nearest', () => {
  const type = {
    kind: 'tables',
    columns: { path: { kind: 'text' }, user: { kind: 'text' }, read_only: { kind: 'boolean' } },
    defaults: { user: 'owner', read_only: false },
    countMax: 2,
  } as const;
  const read = (data: unknown) => valueOfData(type, data);
  assert.deepEqual(read([{ path: 'a' }, { path: 'b', read_only: true }]), {
    ok: true,
    value: [
      { path: 'a', user: 'owner', read_only: false },
      { path: 'b', user: 'owner', read_only: true },
    ],
  });
  const wantedFor = (data: unknown): string => {
    const result = read(data);
    return result.ok ? '' : result.wanted;
  };
  assert.match(wantedFor([{ user: 'x' }]), /^in table 1 of the list, `path` to be a text/);
  assert.match(wantedFor([{ path: 'a', user: '' }]), /`user` to be a text that is not empty/);
  assert.match(wantedFor([{ path: 'a', read_onyl: true }]), /`read_onyl` too \(did you mean `read_only`\?\)$/);
  assert.match(wantedFor('x'), /with `path`, and if not as here `user` \(`owner`\), `read_only` \(`false`\)/);
  const wrong = { type: { ...type, defaults: { user: 3 } }, default: [], doc: 'Mounts.' };
  assert.match(mistakesOfTable({ wrong }).join(), /the default of `user` in wrong is not a value of its type/);
});

test('a wrong value is refused with its origin, what was expected and an example', () => {
  const cases: readonly [OptionSources, RegExp][] = [
    [
      { environment: { HOLDFAST_HTTP_PORT: '70000' } },
      /^The environment variable HOLDFAST_HTTP_PORT is "70000"; it needs a whole number from 0 to 65535\.$/,
    ],
    [{ environment: { HOLDFAST_HTTP_PORT: '0x10' } }, /whole number/],
    [{ environment: { HOLDFAST_HTTP_PORT: '' } }, /^$/],
    [{ environment: { HOLDFAST_HTTP_WAIT: '10' } }, /a duration from 0ms to 1d, for example `10s`/],
    [{ environment: { HOLDFAST_HTTP_BODY_MAX: '3 bags' } }, /a size from 1B to 1TiB, for example `64MiB`, or `none`/],
    [{ environment: { HOLDFAST_LEVEL: '-1' } }, /from -7 to 19 but not -1, or `none`/],
    [{ environment: { HOLDFAST_MEMORY: 'tiny' } }, /one of `normal`, `small`/],
    [{ environment: { HOLDFAST_VERBOSE: 'perhaps' } }, /`true` or `false`/],
    [{ environment: { HOLDFAST_HTTP_HOSTS: 'a,b,c,d,e' } }, /at most 4 texts, for example `a.example`/],
    [{ environment: { HOLDFAST_RULES: 'nonsense' } }, /at most 2 tables with `match` and `level`/],
    [
      { file: { path: 'f', data: { http: { port: '80' } }, lineOf: () => 7 } },
      /^`http.port` in f line 7 is "80"; it needs/,
    ],
    [
      { file: { path: 'f', data: { rules: [{ match: 'x' }] } } },
      /in table 1 of the list, `level` to be a whole number/,
    ],
    [{ file: { path: 'f', data: { rules: [{ match: 'x', level: 1, more: 2 }] } } }, /which has `more` too/],
    [{ file: { path: 'f', data: { http: { wait: 10 } } } }, /duration/],
    [{ file: { path: 'f', data: [1] } }, /f holds no table of options/],
    [{ file: { path: 'f', data: { store: '' } } }, /a text that is not empty/],
  ];
  for (const [sources, expected] of cases) assert.match(mistakesOf(sources), expected);
});

test('a secret is never shown, neither in a mistake nor in the rows', () => {
  const environment = { HOLDFAST_TOKEN: 'bad\0secret' };
  assert.doesNotMatch(mistakesOf({ environment }), /secret"/);
  assert.match(mistakesOf({ environment }), /HOLDFAST_TOKEN is a value that is not shown/);
  const rows = rowsOfOptions(TABLE, resolved({ environment: { HOLDFAST_TOKEN: 'hush' } }));
  assert.deepEqual(
    rows.find((row) => row.name === 'token'),
    {
      name: 'token',
      value: '(set)',
      origin: 'environment HOLDFAST_TOKEN',
    },
  );
});

test('an unknown key, variable or flag is refused with the nearest known one and where it stood', () => {
  const file = (data: unknown): OptionSources => ({ file: { path: 'f.toml', data, lineOf: () => 3 } });
  assert.equal(
    mistakesOf(file({ http: { prot: 1 } })),
    'There is no option `http.prot` (f.toml line 3). Did you mean `http.port`?',
  );
  assert.match(mistakesOf(file({ port: 1 })), /Did you mean `http.port`\?/);
  assert.match(
    mistakesOf(file({ zebra: { x: 1 } })),
    /no option `zebra` \(f.toml line 3\)\. `holdfast config show` lists all\./,
  );
  assert.match(mistakesOf(file({ http: 3 })), /no option `http`/);
  assert.match(mistakesOf({ environment: { HOLDFAST_STOER: 'x' } }), /HOLDFAST_STOER\. Did you mean HOLDFAST_STORE\?/);
  assert.equal(mistakesOf({ environment: { HOLDFAST_CONFIG: 'x' }, environmentKnown: ['HOLDFAST_CONFIG'] }), '');
  assert.throws(
    () => readArguments(TABLE, ['--verbsoe']),
    /There is no flag --verbsoe here\. Did you mean --verbose\?/,
  );
  assert.throws(() => readArguments(TABLE, ['-z']), /no flag -z/);
});

test('all mistakes are reported together', () => {
  const environment = { HOLDFAST_HTTP_PORT: 'x', HOLDFAST_MEMORY: 'y', HOLDFAST_NONSENSE: 'z' };
  assert.equal(mistakesOf({ environment }).split('\n').length, 3);
});

test('a command line is read in all its usual forms', () => {
  const { flags, operands } = readArguments(TABLE, [
    'put',
    '-vs',
    'DIR',
    '--http-port=9',
    '-',
    '-l-5',
    '--no-color',
    '--host',
    'a',
    '--host=b',
    '--',
    '-x',
  ]);
  assert.deepEqual(operands, ['put', '-', '-x']);
  const { values } = resolved({ flags });
  assert.deepEqual(
    [values.verbose, values.store, values['http.port'], values.level, values.color, values['http.hosts']],
    [true, 'DIR', 9, -5, false, ['a', 'b']],
  );
  assert.equal(
    resolved({ flags: readArguments(TABLE, ['--verbose=false', '--level', '-5']).flags }).values.verbose,
    false,
  );
  assert.equal(resolved({ flags: readArguments(TABLE, ['-l1', '-l2']).flags }).values.level, 2);
  assert.throws(() => readArguments(TABLE, ['--store']), /--store needs a value behind it: The folder of the store\./);
  assert.throws(() => readArguments(TABLE, ['--no-store']), /no flag --no-store/);
  assert.throws(() => readArguments(TABLE, ['--no-color=1']), /takes no value/);
});

test('sizes and durations read back as written', () => {
  assert.equal(bytesCountOfText('1.5GiB'), 1.5 * 2 ** 30);
  assert.equal(bytesCountOfText('2MB'), 2_000_000);
  for (const text of ['', '1.5', '-1', '1XB', '1e9', 'MiB', '1 constructor', '9999999TiB'])
    assert.equal(bytesCountOfText(text), undefined, text);
  assert.equal(durationMsOfText('24h'), 86_400_000);
  assert.equal(durationMsOfText('0'), 0);
  for (const text of ['10', '1 year', '-1s', '0.0001s']) assert.equal(durationMsOfText(text), undefined, text);
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (count) => {
      assert.equal(bytesCountOfText(textOfBytesCount(count)), count);
      assert.equal(durationMsOfText(textOfDurationMs(count)), count);
    }),
  );
});

test('every value reads back from the word it is written as', () => {
  const text = fc.stringMatching(/^[^\0,\s][^\0,]*[^\0,\s]$/);
  const typed: fc.Arbitrary<readonly [OptionType, unknown]> = fc.oneof(
    fc.tuple(fc.constant(TABLE['http.port'].type), fc.nat({ max: 65_535 })),
    fc.tuple(
      fc.constant(TABLE['http.body_max'].type),
      fc.oneof(fc.integer({ min: 1, max: 2 ** 40 }), fc.constant('none')),
    ),
    fc.tuple(fc.constant(TABLE['http.wait'].type), fc.nat({ max: 86_400_000 })),
    fc.tuple(fc.constant(TABLE['http.hosts'].type), fc.array(text, { maxLength: 4 })),
    fc.tuple(fc.constant(TABLE.verbose.type), fc.boolean()),
    fc.tuple(
      fc.constant(TABLE.rules.type),
      fc.array(fc.record({ match: text, level: fc.integer({ min: 1, max: 19 }) }, { noNullPrototype: true }), {
        maxLength: 2,
      }),
    ),
  );
  fc.assert(
    fc.property(typed, ([type, value]) => {
      assert.deepEqual(valueOfWord(type, wordOfValue(type, value)), { ok: true, value });
    }),
  );
});

test('reading never throws and never lets a wrong value through, whatever the data', () => {
  const types = Object.values(TABLE).map((spec): OptionType => spec.type);
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.anything(), (type, data) => {
      const read = valueOfData(type, data);
      if (read.ok && type.kind === 'integer' && typeof read.value === 'number')
        assert.ok(read.value >= type.min && read.value <= type.max);
      if (read.ok && type.kind === 'list') assert.ok(Array.isArray(read.value));
    }),
  );
});

test('nearest names a slip of the fingers and nothing far away', () => {
  assert.equal(nearest('prot', ['port', 'host']), 'port');
  assert.equal(nearest('--recursvie', ['--recursive', '--remove']), '--recursive');
  assert.equal(nearest('zebra', ['port', 'host']), undefined);
  assert.equal(nearest('x', []), undefined);
});

test('help wraps at the width and names values and defaults', () => {
  const help = helpOfOptions(TABLE, { width: 60 });
  assert.match(help, / {2}-s, --store DIR +The folder of the store\.\s+\(default/);
  assert.match(help, / {2}--no-color +In colour\./);
  assert.match(help, /-l, --level N\|none/);
  assert.doesNotMatch(help, /token|--verbose (true|false)/);
  for (const line of help.split('\n')) assert.ok(line.length <= 64, line);
});

test('the documentation page has every option with its flag and variable', () => {
  const page = markdownOfOptions(TABLE, { http: 'HTTP' });
  assert.match(page, /^## General\n/);
  assert.match(page, /## HTTP\n/);
  assert.match(
    page,
    /\| `http.port` \| a whole number from 0 to 65535 \| `8420` \| `--http-port` \| `HOLDFAST_HTTP_PORT` \|/,
  );
  assert.match(page, /- `token`: A secret\./);
});

test('completion says what stands behind a flag', () => {
  const completion = completionOfOptions(TABLE);
  assert.deepEqual(completion[0], {
    flags: ['--store', '-s'],
    doc: 'The folder of the store.',
    takes: 'folder',
    words: [],
  });
  assert.deepEqual(completion.find((one) => one.flags[0] === '--memory')?.words, ['normal', 'small']);
  assert.equal(completion.find((one) => one.flags[0] === '--verbose')?.takes, 'nothing');
});

test('a table with mistakes of its own is found out', () => {
  assert.deepEqual(mistakesOfTable(TABLE), []);
  const wrong: OptionTable = {
    'a.b': { type: { kind: 'boolean' }, default: 3, doc: '' },
    a_b: { type: { kind: 'boolean' }, default: true, doc: 'Fine.' },
    Bad: { type: { kind: 'boolean' }, default: true, doc: 'Fine.', flags: ['-bad'], env: null, key: null },
  };
  const mistakes = mistakesOfTable(wrong).join('; ');
  for (const part of [
    'a.b needs one line',
    'default of a.b',
    '--a-b belongs to',
    'HOLDFAST_A_B belongs to',
    'Bad is no dotted name',
    '-bad of Bad',
  ]) {
    assert.ok(mistakes.includes(part), `${part}: ${mistakes}`);
  }
});
