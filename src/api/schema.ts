/**
 * Builders of schemas: plain JSON Schema as data, with TypeBox's types, so that TypeScript types still come from schemas
 * alone. TypeBox itself is loaded only where schemas are compiled into checks (the HTTP door): its builders are several
 * hundred modules, 40 of the 150 ms that a short command takes to start, and would go into every browser bundle.
 * What these build is, as JSON, exactly what TypeBox's builders of the same names build; a test compares them.
 */
import type Builders from 'typebox';

export type { Static, TObject, TSchema } from 'typebox';

type Options = Readonly<Record<string, unknown>>;
type Schema = object;

/** Marks a property that may be absent; not part of the schema as JSON. */
const OPTIONAL = '~optional';

const build = {
  Array: (items: Schema, options?: Options) => ({ type: 'array', items, ...options }),
  Boolean: (options?: Options) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options?: Options) => ({ enum: values, ...options }),
  Integer: (options?: Options) => ({ type: 'integer', ...options }),
  Literal: (value: unknown, options?: Options) => ({ type: typeof value, const: value, ...options }),
  Null: (options?: Options) => ({ type: 'null', ...options }),
  Number: (options?: Options) => ({ type: 'number', ...options }),
  Object: buildObject,
  Optional: (schema: Schema) => Object.defineProperty({ ...schema }, OPTIONAL, { value: true, enumerable: false }),
  Record: (key: { readonly pattern?: string }, value: Schema, options?: Options) => ({
    type: 'object',
    patternProperties: { [key.pattern ?? '^.*$']: value },
    ...options,
  }),
  String: (options?: Options) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly Schema[], options?: Options) => ({ anyOf, ...options }),
  Unknown: (options?: Options) => ({ ...options }),
};

function buildObject(properties: Readonly<Record<string, Schema>>, options?: Options): Schema {
  const required = Object.keys(properties).filter((name) => !Object.hasOwn(properties[name] ?? {}, OPTIONAL));
  return { type: 'object', ...(required.length === 0 ? {} : { required }), properties, ...options };
}

const Type = build as unknown as Pick<typeof Builders, keyof typeof build>;
export default Type;
