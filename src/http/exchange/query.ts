/**
 * Requests checked by the schemas of the route table: query text becomes numbers and booleans, JSON bodies stay what they
 * are, and everything unknown or out of bounds is Fault `invalid` that names the parameter or member.
 */
import type { TObject, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Fault, momentOfIso, textOfUtf8 } from '../../base/index.ts';

/** Parameters of one query string. */
const QUERY_PARAMETERS_MAX = 64;

type Check = (value: Record<string, unknown>) => void;

/** Reads `a=1&b` by the schema; `inBody`: what the form or the JSON has instead. @throws Fault `invalid`. */
export function queryReader(
  schema: TObject | undefined,
  inBody: { readonly names: readonly string[]; readonly where: string } = { names: [], where: '' },
): (query: string) => Record<string, unknown> {
  const properties: Readonly<Record<string, TSchema>> = schema?.properties ?? {};
  const check = schema === undefined ? undefined : checker(schema, 'query parameter');
  const known = Object.keys(properties);
  const none = (schema?.required?.length ?? 0) === 0;
  return (query) => {
    if (query === '' && none) return {};
    const values: Record<string, unknown> = {};
    for (const [name, value] of pairsOf(query)) {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (property === undefined && inBody.names.includes(name)) {
        const sentence = `${name} is no query parameter here: it stands in the ${inBody.where}.`;
        throw new Fault('invalid', sentence, { 'query parameter': name });
      }
      if (property === undefined) throw unknownName('query parameter', name, known);
      if (Object.hasOwn(values, name)) {
        throw new Fault('invalid', `The query parameter ${name} is there twice. Give it once.`, { parameter: name });
      }
      values[name] = typedValue(name, value, property);
    }
    check?.(values);
    return values;
  };
}

function pairsOf(query: string): [name: string, value: string | undefined][] {
  const parts = query.split('&').filter((part) => part !== '');
  if (parts.length > QUERY_PARAMETERS_MAX) {
    throw new Fault('invalid', `The query has ${parts.length} parameters; ${QUERY_PARAMETERS_MAX} is the most.`, {});
  }
  return parts.map((part) => {
    const mark = part.indexOf('=');
    return mark < 0 ? [decoded(part), undefined] : [decoded(part.slice(0, mark)), decoded(part.slice(mark + 1))];
  });
}

/** Form encoding, as URLSearchParams and forms write it. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '));
  } catch {
    const sentence =
      'The query is not percent-encoded UTF-8. Bytes of a path that are not UTF-8 are written \\xHH in a query.';
    throw new Fault('invalid', sentence, { query: part.slice(0, 300) });
  }
}

function typedValue(name: string, value: string | undefined, schema: TSchema): unknown {
  const type = (schema as { type?: unknown }).type;
  if (type === 'boolean') return booleanOf(name, value);
  if (value === undefined)
    throw new Fault('invalid', `The query parameter ${name} needs a value.`, { parameter: name });
  if (type !== 'integer' && type !== 'number') return value;
  if (/^-?\d{1,16}(\.\d{1,16})?$/.test(value)) return Number(value);
  throw new Fault('invalid', `The query parameter ${name} is not a number.`, { parameter: name });
}

function booleanOf(name: string, value: string | undefined): boolean {
  if (value === undefined || value === '' || value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new Fault('invalid', `The query parameter ${name} is either true or false.`, { parameter: name });
}

/** Checks a JSON body. @throws Fault `invalid`. */
export function bodyChecker(schema: TObject): (value: unknown) => void {
  const check = checker(schema, 'member');
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Fault('invalid', 'The body is not a JSON object.', {});
    }
    check(value as Record<string, unknown>);
  };
}

/** Checks the fields of a form after they became numbers and booleans. @throws Fault `invalid`. */
export function fieldReader(schema: TObject): (fields: ReadonlyMap<string, string>) => Record<string, unknown> {
  const check = checker(schema, 'field');
  const properties: Readonly<Record<string, TSchema>> = schema.properties;
  return (fields) => {
    const values: Record<string, unknown> = {};
    for (const [name, value] of fields) {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (property === undefined) throw unknownName('field', name, Object.keys(properties));
      values[name] = typedValue(name, value, property);
    }
    check(values);
    return values;
  };
}

function checker(schema: TObject, what: string): Check {
  const compiled = Compile(schema);
  const known = Object.keys(schema.properties);
  const moments = known.filter((name) => (schema.properties[name] as { format?: string }).format === 'date-time');
  return (value) => {
    if (compiled.Check(value)) return checkMoments(value, moments, what);
    const unknown = Object.keys(value).find((name) => !known.includes(name));
    if (unknown !== undefined) throw unknownName(what, unknown, known);
    const errors = compiled.Errors(value);
    const [error] = errors;
    const missing = (error?.params as { requiredProperties?: string[] } | undefined)?.requiredProperties?.[0];
    const place = error?.instancePath.replace(/^\//, '') || undefined;
    const at = missing === undefined || place === undefined ? (place ?? missing) : `${place}/${missing}`;
    const named = at === undefined ? `The ${what}s` : `The ${what} ${at}`;
    const about = { [what === 'query parameter' ? 'parameter' : what]: at ?? null };
    if (missing !== undefined) throw new Fault('invalid', `${named} is missing.`, about);
    const allowed = errors.filter(({ instancePath }) => instancePath === error?.instancePath).flatMap(valuesAllowed);
    const wrong = allowed.length > 0 ? `is none of ${allowed.join(', ')}` : (error?.message ?? 'is wrong');
    // Where a schema allows nothing, the name is what is wrong: attributes other than `user.*`.
    const why = error?.keyword === 'boolean' ? 'its name is not one that may be set here' : `it ${wrong}`;
    throw new Fault('invalid', `${named} cannot be used: ${why}.`, about);
  };
}

/** Where a schema has a choice of values, each is an error of its own, or all are one. */
function valuesAllowed({ keyword, params }: { readonly keyword: string; readonly params: unknown }): readonly string[] {
  const { allowedValue, allowedValues } = params as { allowedValue?: unknown; allowedValues?: readonly unknown[] };
  const values = keyword === 'const' ? [allowedValue] : keyword === 'enum' ? (allowedValues ?? []) : [];
  return values.map((value) => JSON.stringify(value));
}

/** The schema's format lets more through than a moment is (a day of 30 February, a year of five digits). */
function checkMoments(value: Record<string, unknown>, names: readonly string[], what: string): void {
  for (const name of names) {
    const moment = value[name];
    if (typeof moment !== 'string' || momentOfIso(moment) !== undefined) continue;
    throw new Fault('invalid', `The ${what} ${name} is not a moment in ISO 8601 with a zone.`, { [what]: name });
  }
}

function unknownName(what: string, name: string, known: readonly string[]): Fault {
  const shown = name.slice(0, 100);
  const list = known.length === 0 ? 'There are none here.' : `Known here: ${known.join(', ')}.`;
  return new Fault('invalid', `There is no ${what} ${JSON.stringify(shown)}. ${list}`, { [what]: shown });
}

/** JSON of bytes. @throws Fault `invalid`. */
export function jsonOf(bytes: Uint8Array): unknown {
  const text = textOfUtf8(bytes);
  if (text === undefined) throw new Fault('invalid', 'The body is not UTF-8.', {});
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Fault('invalid', 'The body is not JSON.', { at: String(error).slice(0, 200) }, error);
  }
}
